"""Declares a stage of the graph: what makes it, from what, in which group, on which partition axis. It uses no Dagster."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from data_cleaning.recipes import Source
from data_cleaning.sources.local import pin
from modeling.rlhf.ratings import store as ratings
from modeling.rlhf.recipes import RatingsRecipe
from orchestration import scales
from orchestration.sources import snapshots, sources
from orchestration.thresholds import corpus

SNAPSHOT, SCALE = "snapshot", "scale"
PLANNED = "planned scale"  # a scale of which nothing is made: it may be too large for this machine


@dataclass(frozen=True, eq=False)  # compared by identity: hashing would walk the graph below it over and over
class Stage:
    """`module`.run(recipe, inputs, out, log) makes artifact `key`; `inputs` maps each role to the parent that plays it."""

    key: str
    module: str
    group: str
    axis: str | None  # snapshot, scale, planned scale, or None for what both of the first two read
    recipe: Callable[[Any], Any]  # picks this stage's recipe from the partition's settings
    paper: str  # section
    description: str
    inputs: tuple[tuple[str, "Stage"], ...] = ()

    def parent(self, role: str) -> "Stage":
        return dict(self.inputs)[role]


@dataclass(frozen=True)
class Gate:
    """A blocking check: `function` (module:name) judges an artifact and its parents: (passed, why, figures)."""

    name: str
    stage: Stage
    function: str
    description: str


@dataclass(frozen=True)
class CorpusSettings:
    """The values from which the corpus stages pick their recipes."""

    corpus: Any
    sources: tuple[Source, ...]

    def using(self, *uses: str) -> tuple[Source, ...]:
        return _using(self.sources, uses)


@dataclass(frozen=True)
class ScaleSettings:
    """The values from which the model stages pick their recipes."""

    name: str
    scale: scales.Scale
    sources: tuple[Source, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scale, name)

    def using(self, *uses: str) -> tuple[Source, ...]:
        return _using(self.sources, uses)

    def with_votes(self) -> RatingsRecipe:
        """Returns the ratings' recipe with the votes that are there now: a complete batch more makes a new recipe."""
        votes, which = ratings.Store.here().batches(self.name, self.scale.ratings.batch)
        return replace(self.scale.ratings, scale=self.name, votes=votes, digest=which)


def _using(sources: tuple[Source, ...], uses: tuple[str, ...]) -> tuple[Source, ...]:
    """Returns the sources of these uses. A local one has the hash of its present content: a change makes a new recipe."""
    return tuple(pin(source) for source in sources if source.use in uses)


def settings(axis: str | None, partition: str | None) -> CorpusSettings | ScaleSettings:
    """Returns the values from which a stage picks its recipe. Raises KeyError, which names the known scales."""
    if axis == PLANNED:
        return ScaleSettings(partition, scales.scale(partition), ())  # a plan reads no source
    if axis == SCALE:
        return ScaleSettings(partition, scales.scale(partition), sources())
    return CorpusSettings(corpus(), tuple(s for s in sources() if s.use != "corpus" or s.snapshot == partition))


def expanded_inputs(stage: Stage, partition: str | None) -> dict[str, tuple[Stage, str | None]]:
    """Returns role → (parent, its partition). A parent on the snapshot axis gives a role for each snapshot: `role/<snapshot>`."""
    found: dict[str, tuple[Stage, str | None]] = {}
    for role, parent in stage.inputs:
        if parent.axis is None:
            found[role] = (parent, None)
        elif parent.axis == stage.axis:
            found[role] = (parent, partition)
        else:
            found.update({f"{role}/{snapshot}": (parent, snapshot) for snapshot in snapshots()})
    return found
