"""The split of prompts into demonstrations, RL and test, by a hash of what a prompt is about (its entity).

The split depends on no seed and no order of files. So the stages `demonstrations` and `prompts`, which do not read each
other's output, agree on it. New data move no old prompt, except that a group of similar prompts takes the name, and so
the part, of its alphabetically first member.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from modeling.core import hashing

DEMONSTRATIONS, RL, TEST = "demonstrations", "rl", "test"
BLOCK = 1024  # rows of cosines in memory at a time
Shares = tuple[tuple[str, float], ...]
Item = TypeVar("Item")
Links = Mapping[tuple[int, int], float]  # (lower index, higher index) → similarity

# Reference texts and everyday conversations.
KNOWLEDGE: Shares = ((DEMONSTRATIONS, 0.55), (RL, 0.30), (TEST, 0.15))
# Adversarial prompts: most go to RLHF, as in the paper (4.2: a few thousand demonstrations, then all effort to RLHF).
ADVERSARIAL: Shares = ((DEMONSTRATIONS, 0.40), (RL, 0.40), (TEST, 0.20))
# Adversarial prompts with a real answer that human raters found safe: they are few, and only they can teach a refusal.
ANSWERED: Shares = ((DEMONSTRATIONS, 0.80), (RL, 0.10), (TEST, 0.10))


def unit(text: str, salt: str = "") -> float:
    """A number in [0, 1) by a hash of the text and the salt."""
    return hashing.unit(f"{salt}\x1f{text}")


def pick(items: Sequence[Item], key: str, salt: str) -> Item:
    """The item that a hash of key and salt chooses."""
    return items[int(unit(key, salt) * len(items))]


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
    group = dict(zip(names, linked_groups(names, word_links(names, threshold), len(names)), strict=True))
    return [group[entity(text)] for text in texts]


def word_links(names: Sequence[str], least: float) -> dict[tuple[int, int], float]:
    """The pairs of entities whose word sets have a Jaccard similarity of at least `least`."""
    words = [frozenset(name.split()) for name in names]
    holders: dict[str, list[int]] = defaultdict(list)
    found = {}
    for index, mine in enumerate(words):
        shared = Counter(other for word in mine for other in holders[word])
        for word in mine:
            holders[word].append(index)
        for other, count in shared.items():
            union = len(mine) + len(words[other]) - count
            if count >= least * union:
                found[other, index] = count / union
    return found


def meaning_links(vectors_ND: np.ndarray, least: float) -> dict[tuple[int, int], float]:
    """The pairs of unit vectors with a cosine of at least `least`, rounded to two decimals before it is compared.

    Processors differ in the last bits of an embedding. After rounding, only a cosine at the border between two
    hundredths can differ from one processor to another.
    """
    found = {}
    for start in range(0, len(vectors_ND), BLOCK):
        cosine_BN = np.round(vectors_ND[start : start + BLOCK] @ vectors_ND.T, 2)
        for row, column in np.argwhere(cosine_BN >= least).tolist():
            if start + row < column:
                found[start + row, column] = float(cosine_BN[row, column])
    return found


def linked_groups(names: Sequence[str], links: Links, largest: int) -> list[str]:
    """For each of the sorted `names`, the first name of its group: linked names, joined from the most similar pair down.

    Two groups that together have more than `largest` names are not joined: without a bound, chains of links join much
    of what is about crime. Equally similar pairs are joined in the order of their names.
    """
    parent, size = list(range(len(names))), [1] * len(names)

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for pair, _ in sorted(links.items(), key=lambda link: (-link[1], link[0])):
        low, high = sorted(root(index) for index in pair)
        if low != high and size[low] + size[high] <= largest:
            parent[high] = low
            size[low] += size[high]
    return [names[root(index)] for index in range(len(names))]
