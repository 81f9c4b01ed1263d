"""The pictures of README.md are taken from a release: of the stated size, with answers in them, and without a vote."""

import shutil

import pytest
from PIL import Image

from release import screenshots


@pytest.fixture
def shown(monkeypatch) -> dict[str, str]:
    """The text of the page at each picture, once they are taken."""
    texts = {}

    def watch(step: str) -> None:
        take = getattr(screenshots, step)

        def watched(page) -> None:
            take(page)
            texts[step] = page.inner_text("body")

        monkeypatch.setattr(screenshots, step, watched)

    watch("dialogue")
    watch("comparison")
    return texts


def test_both_pictures_show_answers_and_no_vote_is_cast(release, shown, tmp_path, monkeypatch):
    try:
        screenshots.chromium()
    except screenshots.ScreenshotError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path / 'mine.sqlite'}")
    monkeypatch.setenv("CRIA_SECOND_OPINIONS", "1")
    assert screenshots.main(["--bundle", str(release), "--out", str(tmp_path / "docs")]) == 0
    for name in (screenshots.CHAT, screenshots.COMPARISON):
        path = tmp_path / "docs" / name
        assert Image.open(path).size == (1280, 900) and 5_000 < path.stat().st_size <= screenshots.MOST_BYTES
    assert "young llama" in shown["dialogue"]
    assert "young llama" in shown["comparison"] and "wide and deep" in shown["comparison"]
    assert not (tmp_path / "mine.sqlite").exists()


def test_without_a_browser_or_a_release_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRIA_RATINGS", "")
    monkeypatch.setenv("CRIA_SECOND_OPINIONS", "")
    if any(map(shutil.which, screenshots.CHROMIUM)):
        assert screenshots.main(["--bundle", str(tmp_path)]) == 1 and "is no release" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert screenshots.main(["--bundle", str(tmp_path)]) == 1 and "apt-get install chromium" in capsys.readouterr().err
