"""The split of prompts into demonstrations, RL and test, by a hash of what a prompt is about (its entity).

The split depends on no seed and no order of files. So the stages `demonstrations` and `prompts`, which do not read each
other's output, agree on it, and new data move no old prompt.
"""

import re
from collections import defaultdict

from modeling.core import hashing

DEMONSTRATIONS, RL, TEST = "demonstrations", "rl", "test"
Shares = tuple[tuple[str, float], ...]

# Reference texts and everyday conversations.
KNOWLEDGE: Shares = ((DEMONSTRATIONS, 0.55), (RL, 0.30), (TEST, 0.15))
# Adversarial prompts: most go to RLHF, as in the paper (4.2: a few thousand demonstrations, then all effort to RLHF).
ADVERSARIAL: Shares = ((DEMONSTRATIONS, 0.40), (RL, 0.40), (TEST, 0.20))
# Adversarial prompts with a real answer that human raters found safe: they are few, and only they can teach a refusal.
ANSWERED: Shares = ((DEMONSTRATIONS, 0.80), (RL, 0.10), (TEST, 0.10))


def unit(text: str, salt: str = "") -> float:
    """A number in [0, 1) by a hash of the text and the salt."""
    return hashing.unit(f"{salt}\x1f{text}")


def part_of(entity: str, shares: Shares) -> str:
    """The part that owns an entity. Shares must sum to 1."""
    place = unit(entity, "part")
    for name, share in shares:
        place -= share
        if place < 0:
            return name
    return shares[-1][0]


def entity(text: str) -> str:
    """A prompt or title in lower case with words separated by one space, so that spelling variants are equal."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


_ASKING = re.compile(
    r"^(?:hi |hello |hey |please |can you |could you |do you know |how would you |how do i |how can i |i want to |help me )*"
    r"(?:tell me (?:about|what|who)|(?:what|who) (?:is|are|was|were|s)|write something about|give me some information about"
    r"|explain(?: what| who)?|describe|define|find out (?:what|who)|what should i know about|give me a short description of"
    r"|provide a short introduction to|know (?:what|who)|understand (?:what|who))\b"
)


def about(prompt: str) -> str:
    """The entity of a question: "What is the Moon?", "Explain what the moon is." and the title "Moon" share one."""
    asked = _ASKING.sub("", entity(prompt)).strip()
    asked = re.sub(r"(?<=.) (?:is|are|was|were)$", "", asked)
    return re.sub(r"^(?:the|a|an) (?=.)", "", asked) or entity(prompt)


def similar_groups(texts: list[str], threshold: float = 0.6) -> list[str]:
    """For each prompt, the name of its group of linked prompts: the alphabetically first entity of the group.

    Prompt collections vary one question by names and places; such variants must not be on both sides of a split. Two
    prompts are linked if the Jaccard similarity of their word sets is at least `threshold`.
    """
    names = sorted({entity(text) for text in texts})
    words = [frozenset(name.split()) for name in names]
    holders: dict[str, list[int]] = defaultdict(list)
    parent = list(range(len(names)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index, mine in enumerate(words):
        shared: dict[int, int] = defaultdict(int)
        for word in mine:
            for other in holders[word]:
                shared[other] += 1
            holders[word].append(index)
        for other, count in shared.items():
            if count >= threshold * (len(mine) + len(words[other]) - count):
                low, high = sorted((root(index), root(other)))
                parent[high] = low
    group = {name: names[root(index)] for index, name in enumerate(names)}
    return [group[entity(text)] for text in texts]
