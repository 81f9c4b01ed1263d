"""What a person does on the page of the chat, and what they see."""

from playwright.sync_api import BrowserContext, Locator, Page, expect


def opened(context: BrowserContext, address: str) -> Page:
    """A new page once it shows the chat and what the browser kept."""
    page = context.new_page()
    page.goto(address)
    ready(page)
    return page


def ready(page: Page) -> None:
    expect(box(page)).to_be_visible()
    expect(page.locator("#state")).to_have_attribute("role", "status")  # set by the last script of the load


def loaded_again(page: Page) -> None:
    page.reload()
    ready(page)


def questions(page: Page) -> Locator:
    return page.locator("#dialogue .user-row .message")


def answers(page: Page) -> Locator:
    return page.locator("#dialogue .bot-row .message")


def box(page: Page) -> Locator:
    return page.locator("#message textarea")


def send(page: Page, text: str) -> None:
    box(page).fill(text)
    page.locator("#send").click()


def ask(page: Page, text: str, said: str) -> None:
    """Sends a message and waits for the end of its answer."""
    count = questions(page).count()
    send(page, text)
    expect(questions(page)).to_have_count(count + 1)
    expect(answers(page).last).to_contain_text(said)
    expect(page.locator("#send")).to_be_visible()


def choose(page: Page, menu: str, title: str) -> None:
    """Chooses a version in a menu (its element's id)."""
    page.locator(f"#{menu} input").click()
    page.get_by_role("option", name=title, exact=True).click()
    expect(page.locator(f"#{menu} input")).to_have_value(title)


def tab(page: Page, name: str) -> None:
    """Opens a tab; on a narrow page it may be in the menu of tabs."""
    shown = page.get_by_role("tab", name=name, exact=True)
    if not shown.count():
        page.get_by_label("More tabs").click()
        page.locator(".overflow-menu button", has_text=name).click()
    else:
        shown.click()


def compare(page: Page, text: str) -> None:
    """Asks both versions of the tab Compare and waits for the end of their answers."""
    page.locator("#both textarea").fill(text)
    page.locator("#compare").click()
    expect(page.locator("#verdict")).to_be_visible()


def vote(page: Page, verdict: str, reason: str = "") -> None:
    page.locator("#verdict").get_by_label(verdict, exact=True).check()
    page.get_by_label("Why (optional)").fill(reason)
    page.locator("#vote").click()
    expect(page.get_by_text("Thank you, the vote is stored.")).to_be_visible()


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
