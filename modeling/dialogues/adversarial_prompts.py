"""The adversarial prompts and the part of the split that owns each: demonstrations, RL or test (paper 4.2, 4.4).

Collections of adversarial prompts hold many variants and paraphrases of one request. A test prompt with a paraphrase
among the training prompts would measure memory. So prompts are grouped by meaning and by shared words, a group belongs to
one part, and a test prompt that still has a near training prompt (of another group: see splits.linked_groups) is left
out. Prompts near an objective reserved for the independent judge are left out of every part. This stage alone decides,
so all stages that use the prompts agree.
"""

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, embedding, reporting
from modeling.core.recipes import AdversarialRecipe
from modeling.dialogues import judge_labels, safety_sources, splits
from modeling.dialogues.safety_sources import HarmlessTwin, Request

SCHEMA = pa.schema(
    [("prompt", pa.string()), ("category", pa.string()), ("topic", pa.string()), ("refusable", pa.bool_()),
     ("source", pa.string()), ("group", pa.string()), ("part", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class OwnedPrompt:
    request: Request
    group: str  # shared by variants and paraphrases
    part: str  # splits.DEMONSTRATIONS, RL or TEST


@dataclass(frozen=True)
class OwnedTwin:
    """A harmless twin, in the group and so in the part of its harmful one."""

    twin: HarmlessTwin
    group: str
    part: str


def run(config: AdversarialRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Stage: `dialogues`, `embedder` (all-MiniLM-L6-v2) → prompts.parquet, vectors.npy, report.md.

    vectors.npy holds the unit embedding of each row of prompts.parquet, float32 (prompts, 384).
    Returns counts by part, source and topic. Raises ValueError without adversarial prompts.
    """
    requests = safety_sources.adversarial_prompts(inputs["dialogues"])
    if not requests:
        raise ValueError("the dialogues artifact holds no adversarial prompts: add a source with use = 'prompts'")
    answered = {answer.prompt for answer in safety_sources.safe_answers(inputs["dialogues"])}
    theirs = judge_labels.objectives(inputs["dialogues"])
    names = sorted({splits.entity(text) for text in (*(request.prompt for request in requests), *theirs)})
    # float32 on every processor: bfloat16 products would move a prompt now and then.
    encoder = embedding.load(inputs["embedder"], precise=True)
    vectors_ND = embedding.embed(encoder, names, log).meaning_ND
    owned, figures = assign(config, requests, answered, theirs, names, vectors_ND)
    log.info(f"{len(owned)} adversarial prompts in {figures['groups']} groups")
    place = {name: index for index, name in enumerate(names)}
    chosen_PD = vectors_ND[[place[splits.entity(one.request.prompt)] for one in owned]]
    np.save(out / "vectors.npy", chosen_PD.astype(np.float32))
    dialogue_tables.write_rows([row(one) for one in owned], SCHEMA, out / "prompts.parquet")
    report(owned, figures, out)
    return figures


def assign(
    config: AdversarialRecipe,
    requests: Sequence[Request],
    answered: set[str],
    theirs: Sequence[str],
    names: Sequence[str],
    vectors_ND: np.ndarray,
) -> tuple[list[OwnedPrompt], dict]:
    """The requests that a part owns, sorted by prompt, and figures.

    `names` are the sorted entities of all requests and of `theirs`, the judge's objectives; `vectors_ND` their unit
    embeddings. Most groups with an `answered` prompt go to the demonstrations: only they can teach these answers.
    """
    links = splits.word_links(names, config.least_shared_words)
    for pair, cosine in splits.meaning_links(vectors_ND, config.least_cosine).items():
        links[pair] = max(cosine, links.get(pair, 0.0))
    near = collections.defaultdict(set)
    for low, high in links:
        near[names[low]].add(names[high])
        near[names[high]].add(names[low])
    reserved = {splits.entity(text) for text in theirs}
    reserved |= {other for name in reserved for other in near[name]}
    free = [name for name in names if name not in reserved]
    place = {name: index for index, name in enumerate(free)}
    kept = {
        (place[names[low]], place[names[high]]): similarity
        for (low, high), similarity in links.items()
        if names[low] in place and names[high] in place
    }
    group = dict(zip(free, splits.linked_groups(free, kept, config.largest_group), strict=True))
    teaching = {group[name] for name in map(splits.entity, answered) if name in group}
    part = {
        name: splits.part_of(its, splits.ANSWERED if its in teaching else splits.ADVERSARIAL)
        for name, its in group.items()
    }
    trained = {name for name in free if part[name] != splits.TEST}
    leaking = {name for name in free if part[name] == splits.TEST and near[name] & trained}
    owned = [
        OwnedPrompt(request, group[name], part[name])
        for request in sorted(requests, key=lambda request: request.prompt)
        if (name := splits.entity(request.prompt)) in group and name not in leaking
    ]
    sizes = collections.Counter(one.group for one in owned)
    figures = {
        **{part: sum(one.part == part for one in owned) for part in (splits.DEMONSTRATIONS, splits.RL, splits.TEST)},
        "groups": len(sizes),
        "largest_group": max(sizes.values(), default=0),
        "left_to_the_judge": sum(splits.entity(request.prompt) in reserved for request in requests),
        "left_out_of_the_test": sum(splits.entity(request.prompt) in leaking for request in requests),
    }
    return owned, figures


def row(one: OwnedPrompt) -> dict:
    """One row of prompts.parquet."""
    request = one.request
    return {"prompt": request.prompt, "category": request.category, "topic": request.topic,
            "refusable": request.refusable, "source": request.source, "group": one.group, "part": one.part}  # fmt: skip


def owned_prompts(adversarial: Path) -> list[OwnedPrompt]:
    """The prompts of an `adversarial_prompts` artifact, sorted by prompt."""
    return [
        OwnedPrompt(
            Request(row["prompt"], row["category"], row["source"], refusable=row["refusable"], topic=row["topic"]),
            row["group"],
            row["part"],
        )
        for row in pq.read_table(adversarial / "prompts.parquet").to_pylist()
    ]


def owned_twins(dialogues: Path, owned: Sequence[OwnedPrompt]) -> list[OwnedTwin]:
    """The harmless twins of the owned prompts, in hash order of their questions."""
    place = {one.request.prompt: one for one in owned}
    found = [
        OwnedTwin(twin, place[twin.harmful].group, place[twin.harmful].part)
        for twin in safety_sources.harmless_twins(dialogues)
        if twin.harmful in place
    ]
    return sorted(found, key=lambda one: splits.unit(one.twin.question, "order"))


def report(owned: Sequence[OwnedPrompt], figures: dict, out: Path) -> None:
    """Write report.md: prompts by topic and part, and the largest groups."""
    parts = (splits.DEMONSTRATIONS, splits.RL, splits.TEST)
    counts = collections.Counter((one.request.topic, one.part) for one in owned)
    sizes = collections.Counter(one.group for one in owned)
    topics = sorted(
        {topic for topic, _ in counts}, key=lambda topic: (-sum(counts[topic, part] for part in parts), topic)
    )
    lines = [
        f"{figures['left_to_the_judge']} prompts are left out because they are like an objective reserved for the judge, "
        f"{figures['left_out_of_the_test']} because they would be tests like a training prompt.",
        "",
        reporting.table(("topic", *parts), [(topic, *(counts[topic, part] for part in parts)) for topic in topics]),
        "The largest groups:",
        "",
    ]
    for name, size in sizes.most_common(5):
        members = [literal(one.request.prompt) for one in owned if one.group == name]
        lines.append(f"- {size} prompts: {' · '.join(members[:: max(1, len(members) // 4)][:4])}")
    reporting.write_text(out / "report.md", "\n".join(lines) + "\n")
