"""The ablations in seconds: on a toy corpus from the mixture to the page, killed and continued."""

import functools
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.ablations import __main__ as command
from benchmarks.ablations import job
from benchmarks.ablations.ablation import Figure
from benchmarks.ablations.data import MissingDataError
from benchmarks.ablations.recipe import NAMES, two_cores
from modeling.core import training as core_training
from modeling.core.recipes import TokenizerRecipe
from modeling.pretraining import pretrain
from release.results import MarkerError
from tests.benchmarks import toy_corpus
from tests.conftest import ROOT

REAL = two_cores()
TOY = replace(
    REAL,
    tokenizer=TokenizerRecipe(vocab_size=768, training_bytes=100_000),
    base=replace(
        REAL.base, model=replace(REAL.base.model, layers=2, heads=4, kv_heads=4, hidden=32, ffn=48, context=32, vocab_size=768),
        batch_tokens=128, steps=12,
    ),
    heldout_documents=3,
    attention=replace(REAL.attention, kv_heads=(("MHA", 4), ("GQA", 2), ("MQA", 1)), prompts=2, prompt_tokens=8, repeats=1,
                      sampling=replace(REAL.attention.sampling, max_new_tokens=8)),
    factual=replace(REAL.factual, documents=50, questions=20, other_epochs=1.0),
    context=replace(REAL.context, contexts=(16, 32), documents=4),
    lengths=replace(REAL.lengths, steps=(2, 4, 8)),
    margins=replace(REAL.margins, reward=replace(REAL.margins.reward, context=32, epochs=1.0)),
    safety_loss=replace(REAL.safety_loss, reward=replace(REAL.safety_loss.reward, context=32, epochs=1.0)),
    safety_data=replace(REAL.safety_data, shares=(0.0, 0.5, 1.0), sampling=replace(REAL.safety_data.sampling, max_new_tokens=4),
                        finetune=replace(REAL.safety_data.finetune, context=32, epochs=1.0)),
)  # fmt: skip
PAGE = "# Ablations\n\n<!-- ablations:small -->\n<!-- /ablations:small -->\n"
SHOWN = Figure("loss", "Loss", 2, 1, "", True)


EACH = {
    "attention": 3,
    "factual": 2,
    "context": 2,
    "lengths": 3,
    "margins": 3,
    "safety_loss": 2,
    "safety_data": 3,
}  # settings


@pytest.fixture(scope="module")
def toy_store(tmp_path_factory):
    """A folder with a store; what the ablations share is made in it once."""
    folder = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patch:
        in_store(folder, patch)
        toy_corpus.make(folder / "store")
    return folder


def in_store(folder, patch) -> None:
    torch.set_num_threads(1)
    for name, path in (("STORE", folder / "store"), ("INBOX", folder / "inbox")):
        patch.setenv(f"CRIA_{name}", str(path))
    patch.setenv("CRIA_SOURCES", str(ROOT / "tests" / "sources.toml"))


@pytest.fixture
def store(toy_store, monkeypatch):
    in_store(toy_store, monkeypatch)
    (toy_store / "page.md").write_text(PAGE)
    yield toy_store
    for name in EACH:
        shutil.rmtree(toy_store / "store/ablations/tiny" / name, ignore_errors=True)


def records(store, name: str) -> dict[str, dict]:
    folder = store / "store" / "ablations" / "tiny" / name
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def test_every_ablation_is_a_choice_of_the_command():
    assert tuple(one.name for one in job.ABLATIONS) == NAMES == tuple(EACH)


@pytest.mark.parametrize("ablation", job.ABLATIONS, ids=lambda one: one.name)
def test_from_the_store_to_the_page_and_never_twice(store, ablation):
    page = store / "page.md"
    assert job.run(TOY, "tiny", [ablation.name], [2], page) == EACH[ablation.name]
    text, made = page.read_text(), records(store, ablation.name)
    assert f"## {ablation.title}\n" in text and text.count("| Seen |") == text.count("| Trained |") == 1
    assert "; seeds 2; " in text
    for figure in ablation.figures(TOY):
        assert f"| {figure.label} |" in text
        assert all(math.isfinite(record["figures"][figure.name]) for record in made.values()), figure.name
    settings = ablation.settings(TOY)
    assert [record["setting"] for record in made.values()] == sorted(settings)
    for record in made.values():
        assert record["seed"] == record["recipe"]["seed"] == 2 and record["seconds"] > 0
        assert record["git"].keys() == {"commit", "dirty"}
    assert not list((store / "store/ablations/tiny/work").iterdir())
    assert job.run(TOY, "tiny", [ablation.name], [2], page) == 0
    assert page.read_text() == text and records(store, ablation.name) == made


def test_two_seeds_have_intervals(store):
    job.run(TOY, "tiny", ["attention"], [1, 2], store / "page.md")
    text, made = (store / "page.md").read_text(), records(store, "attention")
    assert re.search(r"Held-out bits per byte: GQA against MHA: (differs|no difference can be seen) \(", text)
    assert re.search(
        r"KV-cache bytes a token: GQA against MHA: differs \(-256\); MQA against MHA: differs \(-384\)", text
    )
    # Keys and values of two layers in float32.
    bytes_of = {name[:3]: record["figures"]["kv_bytes"] for name, record in made.items()}
    assert bytes_of == {"MHA": 2 * 2 * 4 * 32, "GQA": 2 * 2 * 4 * 16, "MQA": 2 * 2 * 4 * 8}
    one, other = (made[f"MHA-seed{seed}.json"]["figures"]["bits_per_byte"] for seed in (1, 2))
    assert one != other


def test_up_sampling_changes_the_mixture_and_nothing_else(store):
    job.run(TOY, "tiny", ["factual"], [1], store / "page.md")
    folders = sorted((store / "store/ablations/tiny/data").glob("mixture-factual-*"))
    once, more = ({row["source"]: row for row in json.loads((one / "proportions.json").read_text())["sources"]}
                  for one in folders)  # fmt: skip
    assert more["wiki-en"]["epochs"] == 3 * once["wiki-en"]["epochs"] == 3
    assert more["wiki-en"]["realised_share"] > 1.5 * once["wiki-en"]["realised_share"]
    assert {name: row["heldout_documents"] for name, row in once.items()} == {
        name: row["heldout_documents"] for name, row in more.items()
    }
    recipes = [record["recipe"] for record in records(store, "factual").values()]
    assert recipes[0] == recipes[1]


def test_a_share_of_the_safety_dialogues_stands_beside_all_helpful_ones(store):
    job.run(TOY, "tiny", ["safety_data"], [1], store / "page.md")
    data = store / "store/ablations/tiny/data"
    none, half, every = (
        {row["id"]: row["category"] for row in pq.read_table(data / folder / "train.parquet").to_pylist()}
        for folder in ("demonstrations-safety-0", "demonstrations-safety-0.5", "demonstrations-safety-1")
    )
    assert set(none.values()) == {"conversation"} and len(none) == 20
    assert none.keys() < half.keys() < every.keys() and len(half) == 30 and len(every) == 40
    figures = {name: record["figures"] for name, record in records(store, "safety_data").items()}
    assert all(one["adversarial_prompts"] == one["ordinary_prompts"] == 1 for one in figures.values())
    assert all(0 <= one["declined"] <= 1 and 0 < one["safety"] < 1 for one in figures.values())


def test_a_changed_recipe_trains_again_and_the_page_forgets_the_old_records(store):
    page = store / "page.md"
    assert job.run(TOY, "tiny", ["lengths"], [1, 2], page) == 6
    longer = replace(TOY, lengths=replace(TOY.lengths, steps=(2, 4, 16)))
    assert job.run(longer, "tiny", ["lengths"], [1], page) == 3
    assert "seeds 1;" in page.read_text() and "2,048 tokens" in page.read_text()
    assert "1,024 tokens" not in page.read_text()
    assert job.run(replace(longer, context=replace(TOY.context, documents=2)), "tiny", ["lengths"], [1], page) == 0


def test_a_killed_training_continues_to_the_same_figures(store, monkeypatch, log):
    page, name = store / "page.md", "256-tokens-seed1.json"
    toy = replace(TOY, lengths=replace(TOY.lengths, steps=(2, 12)))

    class Killed(core_training.Checkpoints):
        def on_step_end(self, args, state, control, **kwargs):
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 10:
                os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(job, "StageLog", lambda title: log)
    run = functools.partial(job.run, toy, "tiny", ["lengths"], [1], page)
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "fit", functools.partial(core_training.fit, checkpoint_steps=4))
        patch.setattr(core_training, "Checkpoints", Killed)
        victim = multiprocessing.get_context("fork").Process(target=run)
        victim.start()
        victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert list(records(store, "lengths")) == [name]
    assert run() == 1
    assert "Continuing from checkpoint-8" in log.lines
    continued = records(store, "lengths")
    (store / "store/ablations/tiny/lengths/1-536-tokens-seed1.json").unlink()
    assert run() == 1
    again = records(store, "lengths")
    assert [one["figures"] for one in again.values()] == [one["figures"] for one in continued.values()]


def test_a_store_without_a_mixture_says_which_command_makes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRIA_STORE", str(tmp_path))
    (tmp_path / "page.md").write_text(PAGE)
    assert command.main(["laptop", "--page", str(tmp_path / "page.md")]) == 1
    assert "make run SCALE=laptop" in capsys.readouterr().err


def test_a_corpus_that_is_gone_says_which_command_makes_it(store):
    record = store / "store/base/decontaminated/RECORD.json"
    hidden = record.rename(record.with_name("hidden"))
    with pytest.raises(MissingDataError, match="make run SCALE=tiny"):
        job.run(TOY, "tiny", ["factual"], [1], store / "page.md")
    hidden.rename(record)


def test_a_page_without_its_markers_is_refused_before_any_training(store):
    (store / "page.md").write_text("# Ablations\n")
    with pytest.raises(MarkerError, match="ablations:small"):
        job.run(TOY, "tiny", ["lengths"], [1], store / "page.md")
    assert not records(store, "lengths")


def test_unknown_ablations_and_seeds_are_refused(capsys):
    for arguments in (["--only", "attention,fact"], ["--seeds", "1,x"]):
        with pytest.raises(SystemExit):
            command.main(["laptop", *arguments])
    assert "no ablation fact" in capsys.readouterr().err
