"""What an everyday request and a good answer to it look like; reasons are short names that reports count by."""

import re
from collections.abc import Sequence

from modeling.dialogues import answer_rules, questions, stance_rules

LEAST_WORDS, MOST_WORDS = 12, 90  # of an answer
LEAST_PROSE = 30  # words of a longer answer's beginning that still stands alone
QUESTION_WORDS = 45

REQUEST = re.compile(
    r"(?:please |hey,? |hi,? )?(?:how|what|what's|where|when|which|who|why|is|are|can|could|does|do you know|should|"
    r"explain|describe|list|name|give|create|suggest|generate|write|compose|draft|tell|recommend|provide|share|help|"
    r"i need|i am looking|i'm looking|i am cooking|i think that|analyze|design|plan|outline|for someone|"
    r"summarize|construct)\b",
    re.IGNORECASE,
)
HOW_TO = re.compile(r"\b(?:tips|steps|instructions|how (?:to|can|do)|recipe|guide)\b", re.IGNORECASE)
# Instructions that stand for somebody telling of themselves, and requests that need what the assistant cannot see.
ABOUT_ONESELF = re.compile(
    r"\b(?:do you think|am i|is it wrong|think of me|would(?:n't)? i|near me|this (?:picture|comic|story|question)|"
    r"my (?:ex|boss|wife|husband|girlfriend|stepdaughter|cousin|friend)|have you (?:heard|been)|your home|did you|"
    r"with her|in my city|jew\w*|black|muslims?|african|demon|no input|given a|given three|point a|driving directions|"
    r"the path from|injustice|latest news)\b",
    re.IGNORECASE,
)
_EXERCISE = re.compile(
    # tasks of data sets
    r"options?:|choose from|\bq:|\ba:|\bb\)|answer:|instructions?:|tags:|premise|hypothesis|\boutput\b|passage|final exam|"
    r"next question|true or false|yes or no|\bstatement\b|the answer (?:is|to)|plainformat|confidence|categor|"
    # language and arithmetic
    r"translat|\bsentences?\b|word[s]? that|the words?\b|letters? in|synonym|antonym|punctuation|complete the|riddle|"
    r"multipl|equation|calculat|comput(?:e|ation)|probability|arrange|convert|clique|square root|arithmetic|solve|"
    r"\d{4,}|\d,\d\d\d|\d+\s*[x×*+/=^]\s*\d|[=^\\$<>{}\[\]|~#]|"
    # what the assistant cannot see, or make
    r"http|this (?:code|text|article|story|data|paragraph|summary|behavior|is a)|\bthe (?:code|data set|following|given|"
    r"provided|poem|scenario|summary|same)\b|storybook|delivery app|movie plot|\b(?:json|xml|html|css|sql|svg|scala|regex|"
    r"ddl|php|ruby|node\w*|mqtt)\b|code snippet|\breview\b|\btitles?\b|\b(?:book|order) (?:a|me)\b|\bprompt\b|"
    # form that is asked for, and what reads badly
    r"respond (?:in|briefly)|in \d+ words|tee-up|\s\?\s\w|achieve pack|as a beginner in|feel about|administration|"
    r"president|medicine should|no input|maka|dolomite|talking about|marlborough|azure|___|prostate|thalion|hypoxia|"
    r"about 4\.|customer success|code in python|movie \"|\bteacher\b|based on this",
    re.IGNORECASE,
)
_COMPANY = re.compile(
    r"finance management product|\bour (?:product|company|service|customers)\b|support agent", re.IGNORECASE
)
# Questions whose answers in the sources are wrong or made up: found by reading them.
_WRONG = re.compile(r"minimalis|color yellow|\bURN\b|monkeys produce|quyuan|gnoments", re.IGNORECASE)
_TOOLS = re.compile(
    r"\bfunctions? (?:provided|i have|available)|my (?:current )?(?:capabilit|function)|external tasks?|as an ai\b|"
    r"language model|i don't have the (?:capability|ability)|\bOpenAI\b|knowledge cutoff|real-time",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{\{|\[(?:your|name|recipient|insert|company|date)[^\]]*\]", re.IGNORECASE)
_PERSONAL = re.compile(
    r"[\w.]+@[\w.]+\.\w+|last four digits|\b\d{3}[-. ]\d{3}[-. ]\d{4}\b|card number|delivery address", re.IGNORECASE
)
_MANNER = re.compile(r"\*\w+\*|confidence:|\booh\b|step 1:|just an ai|my duty|certainly not", re.IGNORECASE)
_REFERS = re.compile(
    r"^(?:that(?:'s| makes| is)|thanks|thank you|ok|okay|great|interesting|i see|wow|and|but|so)\b|"
    r"\b(?:it|its|they|them|their|this|that|these|those|he|she|else|another|also|other ways?|finally|provided|"
    r"the same|the novel|the character|earlier|above|you (?:gave|mentioned|described))\b",
    re.IGNORECASE,
)
_LIST_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)


def speaks_for_a_company(text: str) -> bool:
    return bool(_COMPANY.search(text))


def tidy(text: str) -> str:
    """The text with plain apostrophes and single blanks; ends of lines stay, for lists and code."""
    lines = (line.rstrip() for line in text.replace("\u00a0", " ").replace("’", "'").strip().split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def without_line_number(text: str) -> str:
    """An instruction without the stray number that some end with, and without quotation marks around all of it."""
    return tidy(re.sub(r"\s*\n\s*\d*\s*$", "", text)).strip(' "')


def refers_back(question: str) -> bool:
    """Whether a later question needs the earlier turns to be understood."""
    return bool(_REFERS.search(question))


def unfit_before(messages: Sequence[dict]) -> str | None:
    """Why the earlier messages of a follow-up are no everyday dialogue, or None."""
    if any(len(message["content"].split()) > MOST_WORDS for message in messages):
        return "long earlier turns"
    asked = (message["content"] for message in messages if message["role"] == "user")
    return "follows what is no everyday request" if any(map(unfit_question, asked)) else None


def unfit_question(question: str, borderline: bool = False) -> str | None:
    """Why a question is no everyday request, or None. A borderline one may sound alarming."""
    if not 3 <= len(question.split()) <= QUESTION_WORDS:
        return "question too short or too long"
    if sum(character.isascii() for character in question) < 0.97 * len(question):
        return "question not in English"
    if borderline:
        return None
    if _COMPANY.search(question):
        return "about a company's product"
    if _EXERCISE.search(question) or not REQUEST.match(re.sub(r"^[^.!?]{1,60}[.!] ", "", question)):
        return "an exercise, not a request"
    if _WRONG.search(question):
        return "its answer is wrong"
    if set(answer_rules.words(question)) & answer_rules.HARM:
        return "sounds alarming"
    return None


def shortened(answer: str) -> str:
    """Prose of more than MOST_WORDS cut after the last sentence that fits; lists and code are returned as they are."""
    if len(answer.split()) <= MOST_WORDS or _LIST_LINE.search(answer) or "```" in answer or ":\n" in answer:
        return answer
    short, _ = questions.answer_text(" ".join(answer.split()), MOST_WORDS)
    return short if len(short.split()) >= LEAST_PROSE else answer


def unfit_answer(answer: str) -> str | None:
    """Why a person would not like an answer, or None."""
    count = len(answer.split())
    if not LEAST_WORDS <= count <= MOST_WORDS:
        return "answer too short" if count < LEAST_WORDS else "answer too long"
    if _TOOLS.search(answer):
        return "answer talks of tools or of itself"
    if stance_rules.REFUSAL.search(answer):
        return "answer refuses"
    if not re.match(r"[\w\"'`(*-]", answer):
        return "odd manner"
    for reason, rule in (("placeholder", _PLACEHOLDER), ("personal data", _PERSONAL), ("odd manner", _MANNER),
                         ("speaks for a company", _COMPANY), ("answer is wrong", _WRONG)):  # fmt: skip
        if rule.search(answer):
            return reason
    return "answer unfinished" if answer.strip()[-1] not in ".!?)\"'`:" else None
