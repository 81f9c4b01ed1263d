"""The graph in outline: groups, the arrows between them, and the steps of an RLHF round, all read from the stages."""

import re
from collections.abc import Iterable

from orchestration.stage import Stage

Edges = set[tuple[str, str]]


def family(stage: Stage) -> str:
    """Returns the stage's group; the rounds of RLHF count as one group."""
    return re.sub(r"_v\d+$", "", stage.group)


def families(stages: Iterable[Stage]) -> dict[str, list[Stage]]:
    """Returns family → stages, in the order of their declaration."""
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(family(stage), []).append(stage)
    return found


def label(stage: Stage) -> str:
    """Returns the name of the asset for people; it is the same in every round."""
    return stage.key.split("/")[-1].replace("_", " ")


def labels(stages: Iterable[Stage]) -> list[str]:
    """Returns each label once, in order."""
    return list(dict.fromkeys(map(label, stages)))


def reduced(edges: Edges) -> Edges:
    """Returns the edges of an acyclic graph without those that a longer path implies."""

    def reaches(start: str, end: str) -> bool:
        return any(after == end or reaches(after, end) for before, after in edges if before == start)

    return {
        (start, end)
        for start, end in edges
        if not any(reaches(after, end) for before, after in edges if before == start and after != end)
    }


def arrows(stages: Iterable[Stage]) -> Edges:
    """Returns the arrows between families (a family reads the other's artifacts), without those that longer paths imply."""
    return reduced({(family(p), family(s)) for s in stages for _, p in s.inputs if family(p) != family(s)})


def steps(stages: Iterable[Stage]) -> Edges:
    """Returns the arrows between the assets of one round, by label, without those that longer paths imply."""
    return reduced({(label(p), label(s)) for s in stages for _, p in s.inputs if p.group == s.group})


def repeats(stages: Iterable[Stage]) -> Edges:
    """Returns the arrows from an asset of a round to assets of later rounds, by label; none for a family without rounds."""
    return {(label(p), label(s)) for s in stages for _, p in s.inputs if family(p) == family(s) and p.group != s.group}


def columns(stages: list[Stage]) -> list[list[str]]:
    """Returns the labels of a round, grouped by the number of steps that lead to them."""
    edges, names = steps(stages), labels(stages)

    def depth(name: str) -> int:
        return max((depth(before) + 1 for before, after in edges if after == name), default=0)

    return [[name for name in names if depth(name) == level] for level in range(max(map(depth, names)) + 1)]


def rounds(stages: Iterable[Stage], name: str | None = None) -> list[str]:
    """Returns the short names (V1, V2, …) of a family's rounds, or of those that hold the asset called `name`."""
    return list(dict.fromkeys(s.group.split("_")[-1].upper() for s in stages if name in (None, label(s))))
