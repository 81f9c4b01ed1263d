"""A real browser on a real server: the chat of a small release whose versions recite known texts."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from modeling.rlhf.ratings.store import Store
from release import export, second_opinions
from release.gallery import Gallery
from release.screenshots import ScreenshotError, chromium
from tests.conftest import MemoryLog
from tests.release import toy_store
from tests.release.browser import hostile
from tests.release.browser.reciters import save_reciter
from tests.release.browser.steps import opened
from tests.release.conftest import served

PATIENCE_MS = 15_000  # for a step of a page on a busy machine
SAID = {
    "chat_model": ["A cria", " is a **young**", " llama."],
    "sft_model": ["SFT says", " something", " else."],
    "base_model": ["The sea", " is wide", " and deep."],
    "rlhf_v5/ppo_policy": ["PPO", " says", " nothing."],
}
ENDLESS = [f"step {number}, " for number in range(40)]  # of RLHF-v1; the hostile texts are SFT's in their own release


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Path:
    """A release whose Chat, SFT, PPO and Base answer what SAID says, and whose RLHF-v1 does not end."""
    return recited(tmp_path_factory.mktemp("reciters"), SAID | {"rlhf_v1/policy": ENDLESS})


@pytest.fixture(scope="session")
def hostile_release(tmp_path_factory) -> Path:
    """A release all of whose versions answer with hostile texts."""
    return recited(tmp_path_factory.mktemp("hostile"), dict.fromkeys([*SAID, "rlhf_v1/policy"], hostile.recital()))


def recited(folder: Path, said: dict[str, list[str]]) -> Path:
    models = {asset: folder / "models" / asset for asset in said}
    for asset, pieces in said.items():
        save_reciter(models[asset], pieces, ends=pieces is not ENDLESS)
    store = toy_store.evaluated(folder / "store", models=models)
    out = folder / "bundle"
    out.mkdir()
    export.run(toy_store.RECIPE, toy_store.inputs(store, list(toy_store.EVALUATIONS)), out, MemoryLog())
    return out


@pytest.fixture(scope="module")
def votes(tmp_path_factory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path_factory.mktemp('votes') / 'ratings.sqlite'}")
        patch.setenv(second_opinions.SHARE, "0")
        yield Store.here()


@pytest.fixture(scope="module")
def address(release, votes) -> Iterator[str]:
    with served(Gallery(release), every_token=False) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        settings = chromium()
    except ScreenshotError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(**settings)
        yield opened
        opened.close()


@dataclass
class Watched:
    """What no page of the chat may do, whatever the test does to it."""

    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        def close(dialog):
            self.dialogs.append(dialog.message)
            dialog.dismiss()

        def note(request):
            if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).hostname != "127.0.0.1":
                self.elsewhere.append(request.url)

        page.on("dialog", close)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", note)


@contextlib.contextmanager
def visit(browser: Browser, **settings) -> Iterator[BrowserContext]:
    """A visitor with a store of its own in the browser. Checks at the end that its pages did nothing forbidden."""
    watched = Watched()
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | settings)
    context.set_default_timeout(PATIENCE_MS)
    context.on("page", watched.watch)
    try:
        yield context
        for page in context.pages:
            assert page.evaluate(f"window.{hostile.MARK}") is None, "a script has run"
        assert watched == Watched()
    finally:
        context.close()


expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def context(browser) -> Iterator[BrowserContext]:
    with visit(browser) as opened:
        yield opened


@pytest.fixture
def page(context, address) -> Page:
    return opened(context, address)
