"""On-policy preference pairs of a round (paper 3.2.1, A.3.1): two variants answer, an annotator picks one.

One answer always comes from the latest model, so that reward models stay on its distribution. The other comes from an
earlier variant, so that the pairs also compare versions (3.4.1). For a share of the adversarial prompts it comes from
the base model: two chat models that decline nearly every attack make hardly a pair with an unsafe answer, and safety
models learn from these. The recipe has two temperatures; a hash of the prompt assigns them to the models.

The annotator says which answer is better, by how much, and whether each is safe. Pairs whose chosen answer is unsafe
and whose rejected answer is safe are left out, as in the paper.

People are no program that a stage can ask. If they are the annotator, the pairs are their votes (ratings/), which both
reward models of every round read, and the round has none of its own.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf import annotator as annotators
from modeling.rlhf.labels import DEGREES, PEOPLE, Annotator, TiedError, UnjudgedError
from modeling.rlhf.recipes import PreferencesRecipe

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "prompt_id", "entity", "kind", "category")),
        ("messages", dialogue_tables.MESSAGES),
        *((name, pa.string()) for name in ("chosen", "rejected")),
        ("degree", pa.int64()),
        *((name, pa.bool_()) for name in ("chosen_safe", "rejected_safe")),
        *((name, pa.string()) for name in ("annotator", "chosen_from", "rejected_from")),
        ("round", pa.int64()),
        ("split", pa.string()),
    ]
)


@dataclass(frozen=True)
class Shown:
    """An answer shown to the annotator, and where it came from."""

    text: str
    role: str  # chat (the latest model) | other | base
    temperature: float

    @property
    def origin(self) -> str:
        return f"{self.role} T={self.temperature:g}"


# Reasons to leave a pair out. The stage fails if the annotator judges fewer than half of the pairs.
IDENTICAL, TIED, CHOSEN_UNSAFE, UNJUDGED = "identical", "tied", "chosen_unsafe", "unjudged"
MOST_UNJUDGED = 0.5
BASE = "base"
LABEL_CHUNK = 32  # pairs between two saves: a judge behind a network takes seconds for each


def run(config: PreferencesRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write pairs.parquet and examples.md. Inputs: chat (current model), other (earlier variant), base, prompts.

    Returns counts and the shares of `summary`. Raises ValueError if no prompt fits in the context or the annotator
    judges fewer than half of the pairs.
    """
    if config.annotator == PEOPLE:
        log.info("people are the annotator: their votes are the pairs, and this round has none of its own")
        return write(out, [], Counter(), 0, 0)
    annotator = annotators.create(config.annotator)
    everything = resumable_generation.read_prompts(inputs["prompts"])
    fitting = resumable_generation.fitting(
        inputs["chat"], everything, max(config.sampling_a, config.sampling_b, key=_room)
    )
    prompts = resumable_generation.select(fitting, config.prompts, config.safety_share, config.round)
    if not prompts:
        raise ValueError(f"no prompt of {inputs['prompts']} fits: lower max_new_tokens or add prompts")
    scratch = out / "_scratch"
    shown = show(config, inputs, prompts, scratch, log)
    labels = scratch / "labels" / quote(annotator.name, safe="")  # a folder for each annotator

    pairs, dropped = [], Counter()
    for number, part in enumerate(resumable_generation.chunks(len(prompts), LABEL_CHUNK)):

        def label(part: range = part) -> list[dict]:
            return [_label(annotator, prompts[index], shown[index]["a"].text, shown[index]["b"].text) for index in part]

        for index, verdict in zip(part, resumable_generation.kept(labels / f"{number:05d}.json", label), strict=True):
            reason = drop_reason(verdict)
            if reason:
                dropped[reason] += 1
            else:
                pairs.append(make_pair(config, annotator.name, prompts[index], shown[index], verdict))
        log.progress(part.stop, len(prompts), unit="pair", pairs=len(pairs))
    if dropped[UNJUDGED] > MOST_UNJUDGED * len(prompts):
        raise ValueError(
            f"{annotator.name} did not judge {dropped[UNJUDGED]} of {len(prompts)} pairs: take another annotator"
        )
    return write(out, pairs, dropped, len(prompts), len(everything) - len(fitting))


def write(out: Path, pairs: list[dict], dropped: Counter, prompts: int, too_long: int) -> dict:
    """Write the pairs. Returns the metrics of the stage. `dropped`: number of pairs left out, by reason."""
    dialogue_tables.write_rows(pairs, SCHEMA, out / "pairs.parquet")
    reporting.write_text(out / "examples.md", examples(pairs))
    return {
        "prompts": prompts,
        "prompts_too_long": too_long,
        **{f"dropped_{reason}": dropped[reason] for reason in (IDENTICAL, TIED, CHOSEN_UNSAFE, UNJUDGED)},
        **summary(pairs),
    }


def show(
    config: PreferencesRecipe, inputs: dict[str, Path], prompts: list[dict], scratch: Path, log
) -> list[dict[str, Shown]]:
    """Two answers to each prompt: "a" from the latest model, "b" from the other one or from the base model."""
    shown: list[dict[str, Shown]] = [{} for _ in prompts]
    for name, side, role, recipe, places in _draws(config, prompts):
        texts = [prompts[place]["messages"] for place in places]
        purpose = f"preferences {config.round} {name}"
        rows = resumable_generation.answer_all(
            inputs[role], texts, recipe, 1, purpose, scratch / f"answers_{name}", log
        )
        for place, row in zip(places, rows, strict=True):
            shown[place][side] = Shown(row[0].text, role, recipe.temperature)
    return shown


def _draws(config: PreferencesRecipe, prompts: list[dict]) -> Iterator[tuple[str, str, str, SamplingRecipe, list[int]]]:
    """What is sampled together: (name, side, role, recipe, places of the prompts).

    A hash of the prompt halves them: the latest model answers one half by sampling_a, the other one by sampling_b.
    """
    halves = ([], [])
    for place, prompt in enumerate(prompts):
        halves[hashing.unit_hash("preference temperature", prompt["id"]) < 0.5].append(place)
    for side, recipes in (("a", (config.sampling_a, config.sampling_b)), ("b", (config.sampling_b, config.sampling_a))):
        for number, (half, recipe) in enumerate(zip(halves, recipes, strict=True)):
            roles = {place: "chat" if side == "a" else other_variant(prompts[place], config) for place in half}
            for role in ("chat",) if side == "a" else ("other", BASE):
                name = f"{side}{number}{role if role == BASE else ''}"
                yield name, side, role, recipe, [place for place in half if roles[place] == role]


def other_variant(prompt: dict, config: PreferencesRecipe) -> str:
    """The role of the model whose answer to this prompt is set beside the latest model's."""
    from_base = prompt["kind"] == "safety" and hashing.unit_hash("base variant", prompt["id"]) < config.base_share
    return BASE if from_base else "other"


def drop_reason(verdict: dict) -> str | None:
    """Why a pair is left out: equal answers, a tie, no judgement, or chosen unsafe and rejected safe (A.3.1). None if kept."""
    if "dropped" in verdict:
        return verdict["dropped"]
    chosen, other = ("a", "b") if verdict["preferred"] == "a" else ("b", "a")
    return CHOSEN_UNSAFE if verdict[f"safe_{other}"] and not verdict[f"safe_{chosen}"] else None


def make_pair(config: PreferencesRecipe, annotator: str, prompt: dict, shown: dict[str, Shown], verdict: dict) -> dict:
    """One row of pairs.parquet.

    A hash of the entity decides between train and test for all rounds, so no later round trains on a test prompt or on
    one that differs only by a name.
    """
    chosen, other = ("a", "b") if verdict["preferred"] == "a" else ("b", "a")
    return {
        "id": f"v{config.round}:{prompt['id']}",
        "prompt_id": prompt["id"],
        "entity": prompt["entity"],
        "kind": prompt["kind"],
        "category": prompt["category"],
        "messages": prompt["messages"],
        "chosen": shown[chosen].text,
        "rejected": shown[other].text,
        "degree": verdict["degree"],
        "chosen_safe": verdict[f"safe_{chosen}"],
        "rejected_safe": verdict[f"safe_{other}"],
        "annotator": annotator,
        "chosen_from": shown[chosen].origin,
        "rejected_from": shown[other].origin,
        "round": config.round,
        "split": "test" if hashing.unit_hash("preference split", prompt["entity"]) < config.test_share else "train",
    }


def summary(pairs: list[dict]) -> dict:
    """Shares the paper reports: degrees (Figure 25), safety labels (18/47/35, A.3.1), wins of the newer variant."""
    total = max(len(pairs), 1)
    adversarial = [pair for pair in pairs if pair["kind"] == "safety"]
    labels = Counter((pair["chosen_safe"], pair["rejected_safe"]) for pair in adversarial)
    return {
        "pairs": len(pairs),
        "pairs_test": sum(pair["split"] == "test" for pair in pairs),
        "pairs_safety": len(adversarial),
        **{
            f"share_{name.replace(' ', '_')}": round(sum(pair["degree"] == degree for pair in pairs) / total, 4)
            for degree, name in DEGREES.items()
        },
        "safety_chosen_safe_other_unsafe": round(labels[True, False] / max(len(adversarial), 1), 4),
        "safety_both_safe": round(labels[True, True] / max(len(adversarial), 1), 4),
        "safety_both_unsafe": round(labels[False, False] / max(len(adversarial), 1), 4),
        "chat_preferred": round(sum(pair["chosen_from"].startswith("chat ") for pair in pairs) / total, 4),
        "words_chosen": round(sum(len(pair["chosen"].split()) for pair in pairs) / total, 1),
        "words_rejected": round(sum(len(pair["rejected"].split()) for pair in pairs) / total, 1),
    }


def examples(pairs: list[dict], each: int = 2) -> str:
    """examples.md: up to `each` pairs of every kind and degree."""
    parts = ["# Pairs to read\n"]
    for kind in sorted({pair["kind"] for pair in pairs}):
        for degree, name in DEGREES.items():
            for pair in [pair for pair in pairs if pair["kind"] == kind and pair["degree"] == degree][:each]:
                parts.append(f"## {kind}: {name} ({literal(pair['annotator'])})\n")
                parts.append(f"**Prompt**\n{reporting.quoted_prompt(pair['messages'])}\n")
                for side in ("chosen", "rejected"):
                    safe = "safe" if pair[f"{side}_safe"] else "unsafe"
                    parts.append(
                        f"**{side.capitalize()}** ({pair[f'{side}_from']}, {safe})\n{reporting.quoted(pair[side])}\n"
                    )
    return "\n".join(parts)


def _label(annotator: Annotator, prompt: dict, answer_a: str, answer_b: str) -> dict:
    """The label as a JSON object, or {"dropped": reason}."""
    if answer_a.strip() == answer_b.strip():
        return {"dropped": IDENTICAL}
    try:
        label = annotator.label(prompt, answer_a, answer_b)
    except TiedError:
        return {"dropped": TIED}
    except UnjudgedError:
        return {"dropped": UNJUDGED}
    return {
        "preferred": label.preferred,
        "degree": label.degree,
        "safe_a": label.safe_a,
        "safe_b": label.safe_b,
    }


def _room(recipe) -> int:
    return recipe.max_new_tokens
