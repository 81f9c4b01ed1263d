"""README.md, PAPER.md and docs/: what they name exists, what a reader needs is named, and they stay short."""

import re
from pathlib import Path

import pytest

from orchestration.scales import SCALES
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "PAPER.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("assets", "benchmarks", "data_cleaning", "modeling", "orchestration", "release")
WINGED = ("data_cleaning", "modeling")  # packages whose folders the README lists
# A code span that is a path as a whole; after a colon, a name that the file defines.
PATH = re.compile(rf"((?:{'|'.join((*CODE, 'docs', 'tests'))})/[\w./]*|[\w-]+\.(?:md|py|toml|txt|yaml))(?:: (\w+))?")
WORDS, LINE, FIRST_SCREEN = 6000, 120, 60

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def section(title: str) -> str:
    """From a title of the README to the next one."""
    return text_of(ROOT / "README.md").split(f"\n## {title}\n")[1].split("\n## ")[0]


def outside_tables(page: Path) -> list[str]:
    return [line for line in text_of(page).splitlines() if not line.startswith("|")]


def settings(text: str) -> set[str]:
    return set(re.findall(r"CRIA_[A-Z_]*[A-Z]", text))


@each_page
def test_every_path_exists(page):
    for span in re.findall(r"`([^`\n]+)`", text_of(page)):
        if found := PATH.fullmatch(span):
            path, name = found.groups()
            assert (ROOT / path).exists(), f"{page.name} names {path}"
            defined = rf"^(?:def|class) {name}\b|^{name} ="
            assert not name or re.search(defined, text_of(ROOT / path), re.MULTILINE), f"{page.name}: {span}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "LOG.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_folders_are_those_of_the_checkout():
    named = set(re.findall(r"^\| `([\w/]+)/` \|", section("How it is built"), re.MULTILINE))
    wings = {f"{package}/{path.parent.name}" for package in WINGED for path in (ROOT / package).glob("*/__init__.py")}
    assert named == {*CODE, "tests"} | wings


def test_every_command_is_there_and_each_one_is_explained():
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), re.MULTILINE)}
    assert named <= targets, f"make has no {named - targets}"
    assert targets - named <= {"setup"}, f"no page says what make {targets - named} is for"


def test_every_setting_is_described():
    described = settings(text_of(ROOT / "docs" / "settings.md"))
    files = [ROOT / "Makefile", *(path for package in CODE for path in (ROOT / package).rglob("*.py"))]
    read = set().union(*(settings(text_of(path)) for path in files))
    tested = set().union(*(settings(text_of(path)) for path in (ROOT / "tests").rglob("*.py")))
    assert read <= described, f"docs/settings.md does not describe {read - described}"
    assert described <= read | tested, f"nothing reads {described - read - tested}"


def test_the_scales_are_those_of_the_code():
    rows = [line for line in section("Scales").splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])] == list(SCALES)


@each_page
def test_lines_fit_a_screen(page):
    assert not [line for line in outside_tables(page) if len(line) > LINE]


def test_the_first_screen_says_what_it_is_and_where_to_go():
    first = "\n".join(text_of(ROOT / "README.md").splitlines()[:FIRST_SCREEN])
    for part in ("docs/graph.png", "make demo", "make test", "## What comes out", "docs/results.md", "PAPER.md"):
        assert part in first, part


def test_the_pages_are_short():
    assert sum(len(line.split()) for page in PAGES for line in outside_tables(page)) <= WORDS
