"""A path of the environment is expanded once, as a shell would have done, and never becomes a folder named `~`."""

from pathlib import Path

import pytest

from data_cleaning.paths import path_from

DEFAULT = Path("/default")


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("/data/store", "/data/store"),
        ("store", "{here}/store"),
        ("./a/../store", "{here}/a/../store"),
        ("~", "{home}"),
        ("~/store", "{home}/store"),
        ("$HOME/store", "{home}/store"),
        ("${HOME}/store", "{home}/store"),
        ("$NAME/store", "{here}/named/store"),
        ("/data/~/store", "/data/~/store"),
        ("", "/default"),
        (None, "/default"),
    ],
)
def test_a_path_as_a_shell_would_read_it(stated, path, tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NAME", "named")
    monkeypatch.delenv("WHERE", raising=False)
    if stated is not None:
        monkeypatch.setenv("WHERE", stated)
    assert str(path_from("WHERE", DEFAULT)) == path.format(here=here, home=home)


@pytest.mark.parametrize(
    ("stated", "told"), [("$UNSET/store", "names a variable that is not set"), ("~nobody-here/store", "without a home")]
)
def test_what_cannot_be_expanded_is_said(stated, told, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("WHERE", stated)
    with pytest.raises(ValueError, match=f"WHERE=.*{told}"):
        path_from("WHERE", DEFAULT)
