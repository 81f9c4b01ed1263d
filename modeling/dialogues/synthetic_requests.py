"""Requests that a checkpoint writes itself, as its user would (Magpie: Xu et al. 2024, arXiv 2406.08464).

An instruction-tuned checkpoint that is given its chat template up to the first user message goes on with a request. The
requests have the many forms and subjects of the checkpoint's own training data, which no collection of the sources has:
without them a small model learns to refuse what begins like an attack ("Can you provide …", "Give me …"). Left alone, most
requests begin in one of a few ways. So half of them go on from given first words (OPENINGS), among them those of
questions that sound alarming and are not. They have no answers. SFT uses the checkpoint's own
(finetuning/sft_dialogues.py), RLHF asks them as everyday requests. Test prompts come from people.

A request is one line, finished, of ordinary length and names no harm, unless an opening of the latter kind makes it a
question about history, health, the law or protection; it resembles no adversarial prompt and no test request. What is
left out is counted by reason. Near-duplicates belong to the same part of the split.
"""

import collections
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.markdown import literal
from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation, sampling
from modeling.core.recipes import SamplingRecipe, SyntheticRequestsRecipe
from modeling.core.replicas import Work
from modeling.core.sampling import Answer
from modeling.core.verdicts import has_weights
from modeling.dialogues import adversarial_prompts, answer_rules, everyday, splits
from modeling.dialogues.everyday import Near, Request, topic_words

SCHEMA = pa.schema([("question", pa.string()), ("entity", pa.string()), ("part", pa.string())])
SOURCE = "synthetic requests"
LEAST_WORDS, MOST_WORDS = 3, 40
DRAWN = 1.4  # requests drawn for each one wanted: about a fifth is left out
SHOWN = 40
# How people begin their requests. First words say nothing yet of what is asked.
_PLAIN = (
    "How to", "How do I", "How do I get", "How do I get rid of", "How do I remove", "How do I clean", "How do I fix",
    "How do I make", "How do I stop", "How does", "How can I", "What is", "What are", "What would you",
    "What's the best way to", "What's a good", "What should I say to", "What can I do about", "Why do", "Why is", "Who",
    "When did", "Where can I", "Which", "Is it", "Can you explain", "Can you tell me", "Can beginners", "Do",
    "Should I", "Give me", "Tell me", "Suggest", "Recommend", "Name", "List", "Identify", "Find", "Compare", "Explain",
    "Describe", "Define", "Summarize", "Discuss", "Design", "Create", "Generate", "Write", "Compose", "Draft",
    "Develop", "Plan", "Come up with", "Construct", "Outline", "Rewrite", "Imagine", "Help me", "I want to", "I need",
    "I'm trying to", "Please", "hey", "hi, can you",
)  # fmt: skip
# First words of questions that sound alarming: history, health, the law, protection, words with two meanings.
_ALARMING = (
    "How did people die", "What happened during the war", "Why was the city destroyed",
    "What are the side effects of", "What are the symptoms of", "How do doctors treat", "Is it legal to",
    "What is the punishment for", "How can I protect myself", "How do I prevent", "How do I kill a process",
    "How does encryption", "How do vaccines", "What is the difference between murder", "How do police",
    "How can I recognize", "Why is it dangerous to", "How do I stop my child", "What does a lawyer",
)  # fmt: skip
OPENINGS = _PLAIN + _ALARMING
_OF_ATTACKS = (3, 4)  # words of an adversarial prompt that may begin a request


def run(config: SyntheticRequestsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write requests.parquet (columns of SCHEMA) and examples.md.

    Inputs: initial_model, dialogues, adversarial_prompts. Returns counts, with the reasons for which draws were left out.
    A model with random weights, or one whose template does not close a user's message, writes none.
    """
    owned = adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])
    alike = attack_openings([one.request.prompt for one in owned if one.part == splits.DEMONSTRATIONS])
    model_dir = inputs["initial_model"]
    draws = drawn(config, model_dir, alike, out / "_scratch", log) if has_weights(model_dir) else []
    attacks = Near(one.request.prompt for one in owned)
    known, _ = everyday.requests(inputs["dialogues"])
    # by topic, as the gate of the prompts compares them
    tests = Near((topic_words(one.question) for one in known if one.part == splits.TEST), everyday.SIMILARITY)
    kept, reasons = usable(draws, attacks, tests)
    rows = parted(kept[: config.requests])
    dialogue_tables.write_rows(rows, SCHEMA, out / "requests.parquet")
    reporting.write_text(out / "examples.md", examples(rows))
    parts = collections.Counter(row["part"] for row in rows)
    return {
        "requests": len(rows),
        **{f"requests_{part}": parts[part] for part in (splits.DEMONSTRATIONS, splits.RL)},
        "drawn": len(draws),
        "left_out": [{"reason": reason, "requests": count} for reason, count in sorted(reasons.items())],
    }


def drawn(config: SyntheticRequestsRecipe, model_dir: Path, alike: Sequence[str], scratch: Path, log) -> list[Answer]:
    """What the checkpoint writes in the place of a user's first message; finished chunks in `scratch` are reused.

    `alike`: first words of attacks.
    """
    work = Work(model_dir, sampling.load, functools.partial(_draw, config.sampling, alike))
    total, size = round(config.requests * DRAWN), resumable_generation.CHUNK_ANSWERS
    parts = resumable_generation.chunks(total, size)
    files = resumable_generation.complete(work, parts, total, size, scratch, log, unit="request")
    return [Answer(*row) for path in files for row in json.loads(path.read_text())]


def _draw(
    recipe: SamplingRecipe, alike: Sequence[str], model, tokenizer, number: int, places: Sequence[int], log
) -> list[list]:
    opening = dialog.encode_opening(tokenizer)
    if opening is None:
        log.info("the chat template does not close a user's message as it closes an answer: no synthetic requests")
        return []
    seed = hashing.mix(recipe.seed, SOURCE, number)
    begun = [tokenizer(first_words(place, alike), add_special_tokens=False).input_ids for place in places]
    asked = [opening + words for words in begun]
    rows = sampling.generate_ids(model, tokenizer, asked, recipe, 1, seed, log)
    closing = dialog.closing_token_id(tokenizer)
    whole = [words + ids for words, (ids,) in zip(begun, rows, strict=True)]
    return [[dialog.decode_answer(tokenizer, ids), closing in ids] for ids in whole]


def first_words(place: int, alike: Sequence[str]) -> str:
    """The words with which the draw of this place begins: an opening, those of an attack, or none, in turn."""
    number, turn = divmod(place, 3)
    words = (OPENINGS, alike, ())[turn] or ("",)
    return words[number % len(words)]


def attack_openings(prompts: Sequence[str]) -> list[str]:
    """The first words of adversarial prompts, each once, in hash order; none that name a harm or end a sentence."""
    found = set()
    for prompt in prompts:
        count = splits.pick(_OF_ATTACKS, prompt, "first words")
        begun = prompt.split()[:count]
        words = " ".join(begun)
        harmless = not set(answer_rules.words(words)) & answer_rules.HARM
        if harmless and len(prompt.split()) > count and not any(word.endswith((".", "!", "?", ":")) for word in begun):
            found.add(words)
    return sorted(found, key=lambda words: splits.unit(words, "order"))


def usable(draws: Sequence[Answer], attacks: Near, tests: Near) -> tuple[list[str], collections.Counter]:
    """(the usable requests in the order drawn, reason → number of draws left out)."""
    kept: dict[str, str] = {}
    reasons: collections.Counter = collections.Counter()
    for draw in draws:
        text = draw.text.strip()
        why = unfit(text, draw.ended)
        if why is None and splits.entity(text) in kept:
            why = "asked already"
        if why is None and attacks.has(text):
            why = "resembles an adversarial prompt"
        if why is None and tests.has(topic_words(text)):
            why = "resembles a test request"
        if why:
            reasons[why] += 1
        else:
            kept[splits.entity(text)] = text
    return list(kept.values()), reasons


def unfit(text: str, ended: bool) -> str | None:
    """Why a drawn text is no everyday request, or None."""
    count = len(text.split())
    if not ended:
        return "cut off"
    if "\n" in text:
        return "several lines"
    if not LEAST_WORDS <= count <= MOST_WORDS:
        return f"not {LEAST_WORDS} to {MOST_WORDS} words"
    if set(answer_rules.words(text)) & answer_rules.HARM and not text.startswith(_ALARMING):
        return "names a harm"
    return None


def parted(texts: Sequence[str]) -> list[dict]:
    """Rows of SCHEMA in hash order; `entity` is the group of near-duplicates, which decides the part."""
    names = splits.similar_groups([topic_words(text) for text in texts], everyday.SIMILARITY)
    rows = [
        {"question": text, "entity": f"synthetic: {name}", "part": splits.part_of(name, everyday.LEARNT)}
        for text, name in zip(texts, names, strict=True)
    ]
    return sorted(rows, key=lambda row: splits.unit(row["question"], "order"))


def requests(folder: Path, part: str) -> list[Request]:
    """The synthetic requests that a part of the split owns."""
    return [
        Request(row["question"], "", (), False, SOURCE, row["entity"], part, False)
        for row in pq.read_table(folder / "requests.parquet").to_pylist()
        if row["part"] == part
    ]


def examples(rows: Sequence[dict]) -> str:
    """Markdown with some of the requests."""
    lines = ["# Requests that the checkpoint writes\n", *(f"- {literal(row['question'])}" for row in rows[:SHOWN])]
    return "\n".join(lines) + "\n"
