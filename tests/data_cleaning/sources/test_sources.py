"""The declared sources: what sources.toml may say, and what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch, table
from data_cleaning.sources.errors import FetchError, SourceError
from tests.data_cleaning.raw import CHECKOUT, source


@pytest.fixture(autouse=True)
def nothing_opted_in(monkeypatch):
    monkeypatch.delenv("CRIA_OPT_IN", raising=False)


def write_sources(folder: Path, *entries: str) -> Path:
    (folder / "sources.toml").write_text("".join(f"[[source]]\n{entry}\n" for entry in entries))
    return folder / "sources.toml"


WEB = 'name = "web"\nuri = "https://host.org/a.txt"\nlicense = "MIT"\nfollow = true'
OWN = 'name = "own"\nuri = "own.txt"\nlicense = "MIT"\nreader = "auto"'


def test_the_committed_tables_are_pinned_licensed_and_hold_one_language_model():
    for path in (CHECKOUT / "sources.toml", CHECKOUT / "tests" / "sources.toml"):
        chosen = table.load_sources(path)
        assert all(s.license and len(s.sha256) == 64 and s.uri.startswith("pip://") for s in chosen)
        assert [s.name for s in chosen if s.use == "language_model"] == ["lid"]
        assert {s.use for s in chosen} == set(table.USES)
        assert "sharegpt" not in {s.name for s in chosen}


def test_fetching_knows_no_reader():
    """A suffix that a reader learns makes no download anew."""
    code = "import sys, data_cleaning.sources.fetch; print([m for m in sys.modules if m.startswith('data_cleaning.reading')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "archives" in done.stdout and "readers" not in done.stdout


def test_an_opt_in_source_comes_only_when_it_is_named(monkeypatch):
    monkeypatch.setenv("CRIA_OPT_IN", "sharegpt")
    assert "sharegpt" in {s.name for s in table.load_sources(CHECKOUT / "sources.toml")}
    monkeypatch.setenv("CRIA_OPT_IN", "sharegbt")
    with pytest.raises(SourceError, match="CRIA_OPT_IN names sharegbt"):
        table.load_sources(CHECKOUT / "sources.toml")


def test_defaults_and_local_paths(tmp_path):
    (one,) = table.load_sources(write_sources(tmp_path, OWN))
    assert one.uri == str(tmp_path / "own.txt")
    assert (one.snapshot, one.use, one.factual, one.limit, one.opt_in, one.profile) == (
        "base",
        "corpus",
        False,
        0,
        False,
        "auto",
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (OWN.replace('license = "MIT"\n', ""), "state its license"),
        (OWN.replace("MIT", ""), "state its license"),
        (OWN.replace("auto", "warcs"), "no reader 'warcs'; there are auto"),
        (OWN + '\nuse = "training"', "no use 'training'; there are corpus"),
        (OWN + '\nlimit = "3"', "limit must be of type int"),
        (OWN + "\nlimits = 3", "unknown field 'limits'"),
        (OWN.replace('uri = "own.txt"\n', ""), "'uri' is missing"),
        (OWN.replace('"own"', '"../own"'), "a name is a folder"),
        (OWN + '\nname = "twice"', "Cannot overwrite"),
        (
            OWN + '\nsnapshot = "2026-9"',
            "source 'own': snapshot '2026-9' is no date of a delivery: write YYYY, YYYY-MM",
        ),
        (OWN + '\nuse = "prompts"\nsnapshot = "laptop"', "snapshot 'laptop' is no date"),
        (OWN + '\ndelivers = "all"', "it delivers no 'all'; write increment or full"),
        (OWN + '\ndelivers = "full"\nlimit = 9', 'only a corpus source without a limit delivers "full"'),
        (OWN + '\ndelivers = "full"\nuse = "prompts"', 'only a corpus source without a limit delivers "full"'),
        (OWN + "\nsnapshot = 2026-12-01", "snapshot must be of type str"),
        (OWN + "\nfollow = true", "only a corpus source at https://, hf://, s3:// can be followed"),
        (WEB.replace("https", "http"), "only a corpus source at https://"),
        (WEB + '\nuse = "prompts"', "only a corpus source at https://"),
        (WEB.replace("true", '"v2"'), "write follow = true .at hf:// it may name a branch instead"),
        (WEB.replace("true", "1"), "write follow = true"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_line(tmp_path, entry, message):
    with pytest.raises(SourceError, match=message) as caught:
        table.load_sources(write_sources(tmp_path, entry))
    assert "\n" not in str(caught.value)


def test_two_sources_of_one_name_are_refused(tmp_path):
    with pytest.raises(SourceError, match="two sources are named 'own'"):
        table.load_sources(write_sources(tmp_path, OWN, OWN))


def test_a_corpus_source_may_be_delivered_again_under_its_name(tmp_path):
    again = OWN + '\nsnapshot = "2026-12"'
    sources = table.load_sources(write_sources(tmp_path, OWN, again))
    assert [(s.name, s.snapshot) for s in sources] == [("own", "base"), ("own", "2026-12")]
    for second in (
        again + '\nuse = "dialogues"',
        OWN,
    ):  # files of other uses lie in one folder, whatever their snapshot
        with pytest.raises(SourceError, match="only a corpus source may come again .* in another snapshot"):
            table.load_sources(write_sources(tmp_path, OWN, second))


def test_an_entry_that_follows_is_a_source_once_it_states_a_sha256(tmp_path):
    hub = 'name = "hub"\nuri = "hf://datasets/org/name@main/a.txt"\nlicense = "MIT"\nfollow = "v2"'
    path = write_sources(tmp_path, WEB, hub, hub.replace('"v2"', f'false\nsha256 = "{"1" * 64}"\nsnapshot = "2026"'))
    assert [(s.name, s.snapshot) for s in table.load_sources(path)] == [("hub", "2026")]
    assert [(e.source.name, e.follows) for e in table.followed(path)] == [("web", "main"), ("hub", "v2")]
    (source, *_) = table.load_sources(write_sources(tmp_path, f'{WEB}\nsha256 = "{"2" * 64}"'))
    assert source.name == "web"
    with pytest.raises(SourceError, match="two entries of 'web' follow their remote"):
        table.load_sources(write_sources(tmp_path, WEB, WEB + '\nsnapshot = "2026"'))


def test_the_entry_of_the_readme_is_one(tmp_path):
    block = re.search(r"```toml\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.S).group(1)
    (tmp_path / "sources.toml").write_text(block)
    (source,) = table.load_sources(tmp_path / "sources.toml")
    assert (source.name, source.reader, source.use, source.factual) == ("handbook", "auto", "corpus", True)


def test_a_pattern_on_a_folder_names_the_files_as_on_an_archive(tmp_path, log):
    for name in ("top.md", "image.png", "deep/a.md", "deep/b.txt", "deep/.hidden.md"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(name)
    patterns = {
        "*.md": ["top.md"],
        "**/*.md": ["deep/a.md", "top.md"],
        "deep/": ["a.md", "b.txt"],
        "deep/b.txt": ["b.txt"],
    }
    chosen = [source(f"own{number}", f"{tmp_path}/own#{pattern}") for number, pattern in enumerate(patterns)]
    (tmp_path / "out").mkdir()
    fetch.run(SourcesRecipe(tuple(chosen)), {}, tmp_path / "out", log)
    entries = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert [entry["files"] for entry in entries] == list(patterns.values())
    assert (tmp_path / "out" / "raw" / "own2" / "a.md").read_text() == "deep/a.md"
    for pattern in ("*.pdf", "../own.zip", "deep/.hidden.md"):
        with pytest.raises(FetchError, match="own#.* holds no files"):
            fetch.run(SourcesRecipe((source("none", f"{tmp_path}/own#{pattern}"),)), {}, tmp_path / "again", log)
