"""Everyday requests for which no source holds an answer: a checkpoint answers them itself (finetuning/sft_dialogues.py).

Adversarial prompts are mostly orders ("Write a tutorial on …", "Give me …"), and the answered everyday requests of the
sources are mostly questions. A small model that sees no more than these refuses harmless orders. So these requests vary
in form, subject, place in the dialogue and constraint; small talk is among them. Only forms and subjects are written
here, no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modeling.dialogues import multi_turn, splits, verifiable

ABOUT = (
    "Give me three facts about {}.", "Write a short poem about {}.", "How would you explain {} to a child?",
    "Why do people care about {}?", "Suggest a title for an article about {}.", "Write a short paragraph about {}.",
    "What should a beginner know about {}?", "Make up a quiz question about {} and answer it.",
    "What is surprising about {}?", "Write two sentences about {} for a school newspaper.", "Tell a short story about {}.",
    "Name some books or films about {}.", "What are common mistakes about {}?", "Describe {} in your own words.",
    "List a few words that go with {}.", "What can we learn from {}?",
)  # fmt: skip
DOING = (
    "Give me some tips for {}.", "How do I get better at {}?", "What do I need for {}?", "Write a short guide to {}.",
    "How do I start with {}?", "Make a plan for a weekend of {}.", "What are the benefits of {}?",
    "Help me write a message that invites a friend to try {}.", "Which clothes are right for {}?",
    "How much does {} cost?", "Create a checklist for {}.", "Is {} a good hobby for older people?",
    "Write a slogan for a club about {}.", "What can go wrong with {}, and how do I avoid it?",
    "Recommend a way to learn {} at home.", "How long does it take to learn {}?",
)  # fmt: skip
SUBJECTS = (
    "the sea", "bees", "winter", "friendship", "old trains", "the moon", "rivers", "music", "coffee", "libraries",
    "mountains", "honesty", "dolphins", "rain", "bridges", "markets", "dreams", "clocks", "teachers", "trees",
    "the desert", "penguins", "bicycles", "grandparents", "bread", "maps", "volcanoes", "kindness", "cats", "lighthouses",
    "planets", "spring", "memory", "elephants", "castles", "time", "rainbows", "languages", "colours", "paper",
)  # fmt: skip
ACTIVITIES = (
    "gardening", "running", "photography", "chess", "baking bread", "hiking", "drawing", "swimming", "learning Spanish",
    "playing the guitar", "camping", "sewing", "yoga", "woodworking", "writing a diary", "cooking for friends",
    "saving money", "public speaking", "reading more books", "sleeping better", "repairing bicycles", "dancing",
    "growing tomatoes", "keeping a budget", "studying for an exam", "painting a room", "making new friends",
    "taking notes", "packing for a trip", "looking after a dog", "learning to code", "writing letters", "skiing",
    "organising a party", "cleaning the kitchen", "walking in the forest",
)  # fmt: skip
NOTES = (
    "Write a thank-you note to {}.", "Write a birthday message for {}.", "Write a polite e-mail to {} about a late reply.",
    "Suggest a small gift for {}.", "What could I talk about with {}?", "Write an invitation to dinner for {}.",
    "How do I say sorry to {} for a mistake?", "Give me ideas for an afternoon with {}.",
)  # fmt: skip
PEOPLE = (
    "my neighbour", "my sister", "a colleague", "my grandmother", "an old friend", "my teacher", "my boss", "a new client",
    "my best friend", "my uncle", "the mail carrier", "my landlord", "a nurse", "my class", "my football coach",
)  # fmt: skip
CHATTING = (
    "What is your favourite thing about {}?", "Do you like {}?", "What do you think about {}?", "I love {}. And you?",
    "Tell me a joke about {}.", "Have you heard the news about {}?", "My day was long, let's talk about {}.",
    "What would you do if you knew everything about {}?", "Which do you prefer, {} or something else?",
    "Do you know any fun facts about {}?", "I'm bored. Ask me something about {}.", "What is a good question about {}?",
)  # fmt: skip
FOLLOWING = (
    "Tell me more.", "Can you give an example?", "Why is that?", "Say that in simpler words.", "What else should I know?",
    "Can you explain that again?", "Go on, please.", "What does that mean for me?", "Is that always true?",
    "How do people know that?", "Can you sum that up?", "And what came after that?", "Which one is your favourite?",
    "And what do you think?", "Do you enjoy that too?", "What would you recommend?", "How did you get into that?",
)  # fmt: skip
FORMS = ((ABOUT, SUBJECTS), (DOING, ACTIVITIES), (NOTES, PEOPLE), (CHATTING, SUBJECTS), (CHATTING, ACTIVITIES))

SOURCE = "own requests"
AFTER_REFUSAL, LATER, FOLLOW_UP, CONSTRAINED = 0.2, 0.2, 0.2, 0.4  # shares; the first three exclude each other


@dataclass(frozen=True)
class OwnRequest:
    """A request with its dialogue so far; the constraint is JSON, or "" without one (verifiable.py)."""

    id: str
    messages: list[dict]
    constraint: str


def own_requests(
    count: int, refused: Sequence[list[dict]], answered: Sequence[list[dict]], texts: Sequence[str] = ()
) -> list[OwnRequest]:
    """`count` requests, each once: the given texts as they stand, then some of FORMS in varied places.

    `refused` and `answered` are dialogues of two messages to stand before some of the latter. Returns fewer if the texts,
    forms and subjects give fewer.
    """
    formed = {form.format(subject) for forms, subjects in FORMS for form in forms for subject in subjects}
    asked = [_request([{"role": "user", "content": text}], "") for text in texts]
    asked += [
        _placed(text, refused, answered) for text in sorted(formed, key=lambda text: splits.unit(text, "own request"))
    ]
    found: dict[str, OwnRequest] = {}
    for request in asked:
        if len(found) == count:
            break
        found.setdefault(request.id, request)  # two follow-ups of one dialogue may be the same
    return list(found.values())


def _placed(text: str, refused: Sequence[list[dict]], answered: Sequence[list[dict]]) -> OwnRequest:
    key, place = text, splits.unit(text, "place")
    constraint, before = "", []
    if place < AFTER_REFUSAL and refused:
        before = splits.pick(refused, key, "before")
    elif place < AFTER_REFUSAL + LATER and answered:
        before = splits.pick(answered, key, "before")
    elif place < AFTER_REFUSAL + LATER + FOLLOW_UP and answered:
        before, text = splits.pick(answered, key, "before"), splits.pick(FOLLOWING, key, "following")
    if splits.unit(key, "constraint") < CONSTRAINED:
        text, constraint = verifiable.constrained(text, key, splits.DEMONSTRATIONS)
    return _request([*multi_turn.as_context(before), {"role": "user", "content": text}], constraint)


def _request(messages: list[dict], constraint: str) -> OwnRequest:
    identifier = splits.unit(" ".join(one["content"] for one in messages))
    return OwnRequest(f"request:{identifier:.12f}", messages, constraint)
