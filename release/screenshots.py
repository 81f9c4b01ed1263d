"""The pictures of the chat in README.md, taken from a release: `python -m release.screenshots --bundle … --out docs`.

Serves the release on this machine, asks an example in a real browser, and compares the newest version with the oldest.
It is part of the release, as the tables of README.md are (release/results.py). No vote is cast. Needs Chromium.
"""

import argparse
import contextlib
import io
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Error, Page, expect, sync_playwright

from data_cleaning.files import replacing
from release import demo, second_opinions
from release.bundle import BundleError
from release.examples import EXAMPLES
from release.gallery import Gallery

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-proxy-server"]  # fmt: skip
WINDOW = {"width": 1280, "height": 900}
MOST_BYTES = 150_000
PATIENCE_MS = 900_000  # for two answers on a busy processor
CHAT, COMPARISON = "chat.png", "comparison.png"


class ScreenshotError(RuntimeError):
    """A picture cannot be taken; the message is one line and says what to do."""


def chromium() -> dict:
    """Returns how to launch the browser of this machine. Raises ScreenshotError if it has none."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise ScreenshotError(
            f"there is no browser: none of {', '.join(CHROMIUM)} is on the path (apt-get install chromium)"
        )
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has no sandbox for root
    return {"executable_path": found, "args": [*FLAGS, *root]}


@contextlib.contextmanager
def served(gallery: Gallery) -> Iterator[str]:
    """The address of a chat on this gallery, on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = demo.server(gallery, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


def take(address: str, out: Path) -> list[Path]:
    """Writes both pictures of the chat at an address. Raises ScreenshotError if one is too large or no answer comes."""
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**chromium())
            page = browser.new_page(viewport=WINDOW)
            page.goto(address)
            dialogue(page)
            pictures = [(CHAT, page.screenshot())]
            comparison(page)
            pictures.append((COMPARISON, page.screenshot()))
            browser.close()
    except (Error, AssertionError) as error:
        raise ScreenshotError(f"the page did not come to its answer: {str(error).splitlines()[0]}") from error
    return [write(out / name, picture) for name, picture in pictures]


def dialogue(page: Page) -> None:
    """Asks the first example and waits for the answer."""
    expect(page.locator("#state")).to_have_attribute("role", "status")  # set by the last script of the load
    page.locator("#message textarea").fill(EXAMPLES[0])
    page.locator("#send").click()
    expect(page.locator("#dialogue .bot-row")).to_be_visible()
    expect(page.locator("#send")).to_be_visible()
    page.mouse.move(0, 0)


def comparison(page: Page) -> None:
    """Compares the newest version with the oldest on the second example, and shows both answers above the ballot."""
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.locator("#ends").click()
    page.locator("#both textarea").fill(EXAMPLES[1])
    page.locator("#compare").click()
    expect(page.locator("#verdict")).to_be_visible()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); document.querySelector('#first').scrollIntoView()")
    page.wait_for_timeout(500)  # the scroll bar fades


def write(path: Path, picture: bytes) -> Path:
    """Writes a PNG with a palette of its colours. Raises ScreenshotError if it still has more than MOST_BYTES."""
    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    if small.tell() > MOST_BYTES:
        raise ScreenshotError(
            f"{path.name} has {small.tell():,} bytes; {MOST_BYTES:,} are allowed: take a smaller window"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(small.getvalue())
    return path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.screenshots", description="The pictures in README.md.")
    parser.add_argument("--bundle", type=Path, required=True, help="for example store/laptop/bundle")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:  # the people's votes take no part
        os.environ |= {"CRIA_RATINGS": f"sqlite:///{scratch}/ratings.sqlite", second_opinions.SHARE: "0"}
        try:
            chromium()
            with served(Gallery(given.bundle)) as address:
                written = take(address, given.out)
        except (ScreenshotError, BundleError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(*written, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
