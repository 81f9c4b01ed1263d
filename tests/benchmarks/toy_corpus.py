"""A store of scale tiny with what ablations read: facts about invented places, a manual, dialogues, preference pairs."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets import pretraining
from data_cleaning import mixture
from data_cleaning.documents import LABELLED_SCHEMA
from data_cleaning.files import write_json
from data_cleaning.store_layout import RECORD
from modeling.core import dialogue_tables
from modeling.dialogues import demonstrations
from modeling.dialogues.prompt_rows import ADVERSARIAL, ORDINARY
from modeling.pretraining import tokenizer as tokenizers
from modeling.rlhf.preferences import SCHEMA
from orchestration import execution
from tests.conftest import MemoryLog
from tests.data_cleaning.samples import artifact, manual, table
from tests.modeling import toy_rlhf, toy_sources

SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu")
KINDS = ("village", "castle", "river", "bridge", "forest", "harbour", "valley")
MATERIALS = ("red clay", "grey slate", "white marble", "old oak", "black iron", "green glass")
FOUNDERS = ("a weaver", "two monks", "a blind sailor", "the seventh queen", "a guild of potters")


def facts(count: int) -> list[dict]:
    """Documents with a title, of which each says what the title is."""
    names = ("".join(parts).title() for parts in itertools.product(SYLLABLES, repeat=3))
    rows = []
    for number, name in enumerate(itertools.islice(names, 0, 7 * count, 7)):
        kind, material = KINDS[number % len(KINDS)], MATERIALS[number % len(MATERIALS)]
        text = (
            f"{name} is a small {kind} of {material} that {FOUNDERS[number % len(FOUNDERS)]} built in {1200 + number}. "
            f"About {17 * number + 300} people visit it in a usual year, most of them by boat from {name[::-1].title()}."
        )
        rows.append(
            {"id": f"wiki-en:{number}", "source": "wiki-en", "text": text, "title": name, "profile": "reference",
             "meta": "{}", "lang": "en", "lang_score": 1.0}
        )  # fmt: skip
    return rows


def sealed(folder: Path) -> None:
    """Writes a record with all that ablations read of one."""
    write_json(folder / RECORD, {"fingerprint": folder.name, "content": folder.name})


def pairs(number: int) -> list[dict]:
    """Pairs of round `number`: helpful answers are long and safe ones say sorry; half of the rejected ones are unsafe."""
    rows = []
    for place in range(16):
        kind = ("helpfulness", "safety")[place % 2]
        rows.append(
            {"id": f"{number}:{place}", "prompt_id": f"{place}", "entity": f"thing {place}", "kind": kind, "category": "",
             "messages": [{"role": "user", "content": f"What can I do with thing {place}?"}],
             "chosen": "I am sorry, but no." if kind == "safety" else f"You can use thing {place} on every day.",
             "rejected": "Take it." if kind == "safety" else "It.", "degree": (place // 2 + number) % 4, "chosen_safe": True,
             "rejected_safe": kind != "safety", "annotator": "simulated", "chosen_from": "chat", "rejected_from": "other",
             "round": number, "split": "test" if place % 8 < 2 else "train"}
        )  # fmt: skip
    return rows


def make_pairs(store: Path) -> None:
    """Writes the parents of the last round's reward models but the chat model."""
    scale, shared = store / "tiny", store / "shared"
    shared.mkdir()
    sources = toy_sources.build(store / "toy")
    for role in ("dialogues", "adversarial_prompts"):
        sources[role].rename(shared / role)
        sealed(shared / role)
    (scale / "prompts").mkdir(parents=True)
    asked = [
        {"id": name, "entity": "thing", "question": question, "setting": setting,
         "messages": [{"role": "user", "content": question}]}
        for name, question, setting in (("one", "A thing?", ORDINARY), ("two", "A bomb?", ADVERSARIAL))
    ]  # fmt: skip
    for part in ("rl", "validation", "test"):
        pq.write_table(pa.Table.from_pylist(asked), scale / "prompts" / f"{part}.parquet")
    sealed(scale / "prompts")
    rounds = {f"rlhf_v{number}/preferences": pairs(number) for number in range(1, 6)}
    for key, rows in {"ratings": [], "open_preferences": [], **rounds}.items():
        (scale / key).mkdir(parents=True)
        dialogue_tables.write_rows(rows, SCHEMA, scale / key / "pairs.parquet")
        sealed(scale / key)


def make_chats(scale: Path) -> None:
    """Writes the dialogues of SFT, of which every second one refuses, and the reward models that score its answers."""
    scale.mkdir(exist_ok=True)
    rows = [
        {"id": f"{place}", "category": ("conversation", "safety", "conversation", "safety-written")[place % 4], "source": "",
         "entity": f"{place}", "messages": [{"role": "user", "content": f"A {place}?"},
                                            {"role": "assistant", "content": "No." if place % 2 else "Yes."}]}
        for place in range(40)
    ]  # fmt: skip
    (scale / "sft_dialogues").mkdir()
    for part in ("train", "test"):
        dialogue_tables.write_rows(rows, demonstrations.SCHEMA, scale / "sft_dialogues" / f"{part}.parquet")
    tokenizer = tokenizers.train(["Yes. No. A thing? A bomb?"] * 9, 600)
    for kind, liked in (("helpfulness", "Yes"), ("safety", "No")):
        folder = scale / "rlhf_v5" / f"{kind}_reward_model"
        toy_rlhf.save(toy_rlhf.reward_model(tokenizer, liked), tokenizer, folder)
        sealed(folder)
    sealed(scale / "sft_dialogues")


def make(store: Path) -> None:
    """Writes the artifacts and their records; CRIA_STORE must name `store`, CRIA_SOURCES tests/sources.toml."""
    texts = [text[begin : begin + 1500] for text in manual() for begin in (0, 1500) if len(text) > begin + 1000]
    rows = pa.Table.from_pylist(facts(120), schema=LABELLED_SCHEMA)
    for key in ("documents", "decontaminated"):
        folder = artifact(store / "base" / key, facts=rows, prose=table(texts[:60], "bible-bbe"))
        (folder / "quarantine.jsonl").touch()
        sealed(folder)
    planned = execution.plan(pretraining.mixture, "tiny")
    planned.final.mkdir(parents=True)
    mixture.run(planned.recipe, planned.inputs, planned.final, MemoryLog())
    sealed(planned.final)
    make_pairs(store)
    make_chats(store / "tiny")
