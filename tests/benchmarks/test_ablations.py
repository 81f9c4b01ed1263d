"""The ablations in seconds: on a toy corpus from the mixture to the page, killed and continued, and their arithmetic."""

import functools
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.ablations import __main__ as command
from benchmarks.ablations import attention, comparison, context, job, knowledge, lengths, training
from benchmarks.ablations.ablation import Figure, Place
from benchmarks.ablations.data import MissingDataError
from benchmarks.ablations.recipe import NAMES, two_cores
from modeling.core import training as core_training
from modeling.core.dialog import encode_text
from modeling.core.recipes import TokenizerRecipe
from modeling.pretraining import pretrain
from modeling.pretraining.model import count_parameters_on_meta
from modeling.pretraining.tokenizer import train as train_tokenizer
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
)  # fmt: skip
PAGE = "# Ablations\n\n<!-- ablations:small -->\n<!-- /ablations:small -->\n"
SHOWN = Figure("loss", "Loss", 2, 1, "", True)


EACH = {"attention": 3, "factual": 2, "context": 2, "lengths": 3, "margins": 3, "safety_loss": 2}  # settings


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


def test_all_kinds_of_attention_have_the_same_size():
    counts = {
        name: count_parameters_on_meta(attention.training(REAL, kv_heads).model)
        for name, kv_heads in REAL.attention.kv_heads
    }
    assert counts["MHA"] > 1e6
    assert max(counts.values()) - min(counts.values()) < 0.001 * counts["MHA"]
    assert attention.widened(REAL.base.model, 8) == REAL.base.model


def test_the_interval_of_a_mean_and_what_it_says():
    three = comparison.mean([1.0, 2.0, 3.0])  # Student's t of two degrees of freedom: 4.303
    assert three.value == 2 and three.interval == pytest.approx(
        (2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3
    )
    assert three.verdict == comparison.SAME
    assert comparison.mean([1.9, 2.0, 2.1]).verdict == comparison.DIFFERS
    assert comparison.mean([2.0]).verdict == comparison.UNKNOWN
    assert comparison.mean([1.9, 2.0, 2.1]).text(SHOWN, "+") == "+2.00 (+1.75 to +2.25)"
    assert comparison.mean([2.0, 2.0]).text(SHOWN) == comparison.mean([2.0]).text(SHOWN) == "2.00"


def of_seeds(*losses: float) -> dict[int, dict]:
    return {seed: {"figures": {"loss": loss}} for seed, loss in enumerate(losses, 1)}


def test_settings_are_compared_seed_by_seed():
    records = {"short": of_seeds(1.0, 5.0, 9.0), "long": of_seeds(1.5, 5.52, 9.48), "none": of_seeds(1.0, 5.1, 8.9)}
    assert comparison.against_the_first((SHOWN,), records) == (
        "Loss: long against short: differs (+0.50 (+0.45 to +0.55)); "
        "none against short: no difference can be seen (+0.00 (-0.25 to +0.25))."
    )
    one = {"short": of_seeds(1.0), "long": {2: of_seeds(0, 1.0)[2]}}
    assert comparison.against_the_first((SHOWN,), one) == "There is nothing to compare yet."


def test_the_power_law_of_exact_losses():
    tokens = [100, 200, 400, 800]
    exponent, fit = lengths.power_law(tokens, [3 * count**-0.25 for count in tokens])
    assert exponent == pytest.approx(0.25) and fit == pytest.approx(1)
    records = {
        f"{count} tokens": {
            seed: {"figures": {"loss": (3 + seed / 100) * count**-0.25}, "metrics": {"tokens_seen": count}}
            for seed in (1, 2, 3)
        }
        for count in tokens
    }
    said = lengths.seen((SHOWN,), records)
    assert "b = 0.250, mean R² 1.000: its exponent differs from 0. 800 tokens against 400 tokens: differs" in said
    assert "needs three lengths" in lengths.seen((SHOWN,), dict(list(records.items())[:2]))


def test_what_a_text_says_of_its_title():
    text = "The Catcher in the Rye is a 1951 American coming-of-age novel by J. D. Salinger."
    assert knowledge.fact_of("The Catcher in the Rye", text, 4) == (
        "The Catcher in the Rye",
        "is",
        "a 1951 American coming-of-age",
    )
    assert (
        knowledge.fact_of("Christ (statue)", "A Christ was made of stone and soap.", 9)[2] == "made of stone and soap"
    )
    assert knowledge.fact_of("Mule", "The mule is a domestic equine hybrid.", 9) == (
        "The mule",
        "is",
        "a domestic equine hybrid",
    )
    born = "Gordon Sumner (born 2 October 1951), known as Sting, is an English musician and activist."
    assert knowledge.fact_of("Gordon Sumner", born, 4) == ("Gordon Sumner", "is", "an English musician and")
    assert knowledge.fact_of("Clown", "Clowns are people who perform.", 9) is None
    assert knowledge.fact_of("Clown", "A clown is fun.", 9) is None  # too short
    assert knowledge.fact_of("Delta Blues", "Delta Blues is a kind of blues music.", 9) is None  # it repeats the title
    assert knowledge.fact_of("", "It is a text without any title.", 9) is None


class Recalls(torch.nn.Module):
    """Knows facts by heart: after a subject, the tokens of its own fact are likely. A share of 0 knows nothing."""

    def __init__(self, tokenizer, asked, knows: float) -> None:
        super().__init__()
        self.config, self.device = SimpleNamespace(max_position_embeddings=64), torch.device("cpu")
        self.size, self.knows = len(tokenizer), knows
        self.facts = [
            (encode_text(tokenizer, one.subject)[0], encode_text(tokenizer, f" {one.choices[one.right]}"))
            for one in asked
        ]

    def forward(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, self.size)
        for row, ids in enumerate(input_ids.tolist()):
            for subject, fact in self.facts:
                if ids[1] == subject:
                    logits[row, :, fact] = self.knows
        return SimpleNamespace(logits=logits)


def test_the_probe_tells_a_model_that_knows_from_one_that_does_not():
    subjects = ["Everest", "Nile", "Vienna", "Mars"]
    facts = ["a high mountain", "one long river", "some old city", "this red planet"]
    tokenizer = train_tokenizer([*(f"{one} is {fact}" for one, fact in zip(subjects, facts, strict=True))] * 9, 768)
    asked = [knowledge.Question(one, "is", tuple(facts), place) for place, one in enumerate(subjects)]
    assert knowledge.accuracy(Recalls(tokenizer, asked, 3.0), tokenizer, asked) == 1
    assert knowledge.accuracy(Recalls(tokenizer, asked, 0.0), tokenizer, asked) == 0  # a tie is no knowledge


def test_losses_by_position_sum_to_the_loss_of_the_row():
    from modeling.evaluation.bits_per_byte import score_rows
    from modeling.pretraining.model import build

    model = build(replace(TOY.base.model, context=16), None, 1).eval()
    rows = [[(7 * place + row) % 700 for place in range(40)] for row in range(3)]
    found = context.by_position(model, rows, [16, 32])
    model.config.max_position_embeddings = 32
    assert 16 * (found[16] + found[32]) == pytest.approx(score_rows(model, [row[:33] for row in rows]).mean(), rel=1e-5)
    assert found[16] != pytest.approx(found[32], rel=1e-4)


def test_every_recorded_setting_has_a_file_of_its_own(tmp_path):
    place = Place("tiny", tmp_path)
    paths = [
        training.record_path(place, one.name, setting, 1) for one in job.ABLATIONS for setting in one.settings(REAL)
    ]
    assert len(set(paths)) == len(paths) == 3 + 2 + 2 + 5 + 3 + 2
    assert all(re.fullmatch(r"[\w-]+\.json", path.name) for path in paths)
