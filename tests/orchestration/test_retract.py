"""The command that retracts: what it writes, what it refuses, and which models and releases it names."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from assets import STAGES
from data_cleaning import mixture
from data_cleaning.documents import read_documents
from data_cleaning.retractions import keys_of, listed
from orchestration import identity, preflight, retract
from orchestration.execution import StageError
from orchestration.promote import releases
from orchestration.stage import SCALE, settings
from orchestration.store import artifact, store
from release import lineage
from tests.conftest import ROOT
from tests.data_cleaning.samples import artifact as documents_artifact
from tests.data_cleaning.samples import mixture_inputs, table
from tests.data_cleaning.test_mixture import RECIPE, passages
from tests.release.toy_store import ToyStore

SOURCE = '[[source]]\nname = "facts"\nuri = "facts.txt"\nlicense = "MIT"\nsnapshot = "{}"\n'


@pytest.fixture
def listing(tmp_path, monkeypatch):
    """The path of an empty list, beside a table of two snapshots."""
    (tmp_path / "sources.toml").write_text("\n".join(SOURCE.format(name) for name in ("2026-11", "2026-12")))
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "sources.toml"))
    monkeypatch.setenv("CRIA_INBOX", str(tmp_path / "inbox"))
    monkeypatch.setenv("CRIA_RETRACTIONS", str(tmp_path / "retractions.toml"))
    (tmp_path / "retractions.toml").touch()
    return tmp_path / "retractions.toml"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command; returns (exit status, output, errors)."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["retract", *words])
        status = retract.main()
        return (status, *capsys.readouterr())

    return run


def mix(toys: ToyStore, log) -> None:
    """Makes the mixture by its own stage, with what is retracted now."""
    out = artifact("mixture", "tiny")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    corpora = {f"s{name.replace('-', '_')}": artifact("decontaminated", name) for name in ("2026-11", "2026-12")}
    keys = keys_of(listed())
    recipe = RECIPE.__class__(**vars(RECIPE) | {"retractions": keys})
    mixture.run(recipe, mixture_inputs(**corpora), out, log)
    shutil.rmtree(out / "_scratch")
    parents = {f"corpus/{name}": ("decontaminated", name) for name in ("2026-11", "2026-12")}
    toys.publish("mixture", "tiny", parents, {"retractions": list(keys)})


def train(toys: ToyStore, *keys: str) -> None:
    """Makes tokens and some models from what lies there."""
    parents = {"tokens": "mixture", "base_model": "tokens", "chat_model": "base_model", "bundle": "chat_model"}
    for key in keys or parents:
        folder = artifact(key, "tiny")
        folder.mkdir(parents=True, exist_ok=True)
        made_from = json.loads((artifact(parents[key], "tiny") / "RECORD.json").read_text())["content"]
        (folder / "made_from.txt").write_text(made_from)
        if key != "tokens":
            save_file({"weight": pa.array([1.0]).to_numpy()}, folder / "model.safetensors")
        toys.publish(key, "tiny", {"parent": (parents[key], "tiny")})


def release(name: str) -> None:
    """Keeps the bundle as a release, with its lineage."""
    folder = releases("tiny") / name
    shutil.copytree(artifact("bundle", "tiny"), folder / "bundle")
    (folder / "PROMOTION.json").write_text("{}")
    chain = lineage.walk([lineage.read(artifact("bundle", "tiny"))], lineage.store_lookup(store()))
    (folder / "bundle" / "LINEAGE.json").write_text(json.dumps(lineage.as_json(chain, {})))


@pytest.fixture
def toys(listing, log):
    """Two snapshots of documents, the mixture of them, models and a release."""
    made = ToyStore(store())
    for number, name in enumerate(("2026-11", "2026-12")):
        rows = table(passages(20, 20 * number), f"facts{number}", meta=f'{{"url": "https://example.org/{name}"}}')
        documents_artifact(artifact("decontaminated", name), a=rows)
        (artifact("decontaminated", name) / "quarantine.jsonl").touch()
        made.publish("decontaminated", name, {})
    mix(made, log)
    train(made)
    release("2026-12-01")
    return made


def trained_and_held() -> tuple[str, str]:
    """The id of a document that is trained on, and of one that is held out."""
    return tuple(min(read_documents(artifact("mixture", "tiny"), part, ["id"])["id"].to_pylist())
                 for part in ("train", "heldout"))  # fmt: skip


def test_the_command_names_every_model_and_release_and_the_next_run_leaves_the_documents_out(toys, command, log):
    one, held = trained_and_held()
    status, out, _ = command("--id", one, "--reason", "by its author")
    source = one.partition(":")[0]
    assert status == 0 and "1 documents of the cleaned corpus\n" in out and "by its author" in out
    assert f"  {source}, snapshot {'2026-11' if source == 'facts0' else '2026-12'}: 1\n" in out
    assert "models trained on them: tiny/base_model, tiny/chat_model, tiny/bundle\n" in out
    assert out.endswith("releases trained on them: tiny/2026-12-01\n")
    assert "no model in the store and no kept release" in command("--id", held)[1], "it was only held out"
    assert "0 documents" in command("--text", "words that no document has")[1]
    mix(toys, log)
    assert one not in read_documents(artifact("mixture", "tiny"), "train", ["id"])["id"].to_pylist()
    _, out, _ = command("--list")
    assert (
        "models perhaps trained on them, as what they were made from is gone: tiny/base_model" in out
        and "models trained" not in out
    )
    train(toys)
    release("2026-12-02")
    first = next(part for part in command("--list")[1].split("\nid ") if one in part)
    assert "models" not in first and "2026-12-02" not in first
    assert "releases perhaps trained on them, as what they were made from is gone: tiny/2026-12-01" in first
    command("--text", " ".join(passages(1)[0].split()[:9]))
    mix(toys, log)
    first = next(part for part in command("--list")[1].split("\nid ") if one in part)
    assert "2026-12-02" not in first, "its own record says that it left the document out"


def test_a_pattern_of_urls_is_counted_by_source_and_snapshot(toys, command):
    status, out, _ = command("--url", "https://example.org/2026-1*")
    assert status == 0 and "40 documents" in out
    assert "  facts0, snapshot 2026-11: 20\n  facts1, snapshot 2026-12: 20\n" in out


def test_a_second_identical_retraction_says_so_and_what_is_wrong_is_not_written(listing, command):
    listing.write_text("# kept by the archive\n")
    assert command("--text", "Jane Doe, of Lima", "--reason", "she asked")[0] == 0
    before = listing.read_text()
    status, out, error = command("--text", "jane  doe of LIMA")
    assert status == 1 and not out and "is retracted since 20" in error and str(listing) in error
    for wrong in (("--id", "news"), ("--url", "*"), ("--text", "\udcff"), ("--id", "news:1", "--reason", "")):
        status, _, error = command(*wrong)
        assert status == 1 and error.startswith("error: ") and error.count("\n") == 1
    assert listing.read_text() == before and before.startswith("# kept by the archive\n")
    listing.write_text('retraction = [{id = "news:1"}]\n')
    assert command("--id", "news:2")[0] == 1 and len(listed()) == 1


@pytest.mark.parametrize("text", ['"""', "a\x7fb\tc\\u0041", "ünïcödé 🦙", "\x1b[2Jgone\nid = 1", "x" * 300])
def test_whatever_is_written_is_read_back_and_shown_on_a_line(text, listing, command):
    status, out, _ = command("--id", f"news:{text}", "--reason", text)
    (one,) = tomllib.loads(listing.read_text())["retraction"]
    assert status == 0 and one["id"] == f"news:{text}" and one["reason"] == text
    assert "\x1b" not in out and len(out.splitlines()) == 3
    assert command("--list")[0] == 0


KILLED = """
import resource, runpy, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
runpy.run_module("orchestration.retract", run_name="__main__")
"""


def test_a_kill_in_the_middle_of_writing_leaves_the_list_as_it_was(listing, command):
    listing.write_text("# " + "x" * 10_000 + '\n[[retraction]]\nid = "news:1"\n')
    before = listing.read_text()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, "--id", "news:2"], cwd=ROOT, env=environment)
    assert done.returncode == -25, "SIGXFSZ, when half of the file was written"
    assert listing.read_text() == before and (listing.parent / f".{listing.name}.part").stat().st_size == 8192
    assert command("--id", "news:2")[0] == 0 and len(listed()) == 2


def test_several_at_once_are_all_written(listing):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = "import pathlib, sys; from orchestration.retract import add; add(pathlib.Path(sys.argv[1]), {'id': sys.argv[2]})"
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(listing), f"news:{n}"], env=environment) for n in range(4)
    ]
    assert [each.wait() for each in running] == [0] * 4 and len(listed()) == 4


def test_the_list_is_part_of_the_mixture_and_of_the_report_that_quotes_documents(listing, monkeypatch):
    def made() -> dict[str, str]:
        recipes = {key: stage.recipe(settings(stage.axis, "tiny" if stage.axis == SCALE else "2026-11"))
                   for key, stage in STAGES.items() if key not in ("sources",)}  # fmt: skip
        return {key: identity.of(recipe, "", {})["recipe"] for key, recipe in recipes.items()}

    listing.write_text("")
    empty = made()
    monkeypatch.delenv("CRIA_RETRACTIONS")
    monkeypatch.setattr("data_cleaning.retractions.CHECKOUT", listing.parent / "elsewhere")
    assert made() == empty
    monkeypatch.setenv("CRIA_RETRACTIONS", str(listing))
    listing.write_text('[[retraction]]\nid = "facts:1"\n')
    one = made()
    assert {key for key in one if one[key] != empty[key]} == {"mixture", "corpus_report"}
    listing.write_text('# comment\n[[retraction]]\nid = "facts:1"\nreason = "another"\nsince = 2026-12-01\n')
    assert made() == one


def test_an_unusable_list_is_told_before_any_work(listing):
    listing.write_text('[[retraction]]\nid = ""\n')
    with pytest.raises(StageError, match="id must be text between quotes"):
        preflight.check_sources()
