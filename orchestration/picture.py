"""Draws the graph from the declared stages: `python -m orchestration.picture docs/graph.png`."""

import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.textpath import TextPath

from assets import STAGES
from orchestration import outline
from orchestration.stage import Stage

# Bands of the picture from top to bottom: each group with its title and what it does in a few words.
BANDS = (
    {"corpus": ("Corpus", "raw sources → clean text"),
     "pretraining": ("Pretraining", "text → base model"),
     "finetuning": ("Fine-tuning", "answers → SFT model")},
    {"rlhf": ("RLHF", "two answers compared → reward models → best of K answers → a better policy")},
    {"safety": ("Safety", "safer answers → chat model"),
     "evaluation": ("Evaluation", "every version, from base to chat"),
     "release": ("Release", "a model to chat with")},
)  # fmt: skip
COLOURS = {"corpus": "#2f6f73", "pretraining": "#3d5a98", "finetuning": "#7a4a8c", "rlhf": "#b0553a", "safety": "#8a6a1c",
           "evaluation": "#4f7a3a", "release": "#333f48"}  # fmt: skip
INK, GREY = "#1f262b", "#59646b"
LOOP_TEXT = "each round samples from the policy of the round before"

# Inches: where the picture is 900 pixels wide, an inch is 100 pixels.
WIDTH, MARGIN = 9.0, 0.08
GAP, BETWEEN = 0.36, 0.4  # between the boxes of a band, and between bands
HEADER, PAD = 0.58, 0.14  # of a box: above its assets, and around them
ROW, PILL, NEXT = 0.31, 0.25, 0.1  # from an asset to the one below, its height, and the space to its right
ROWS = 6  # assets in a column of a box
TURN = 0.55  # from the edge of a box to an arrow that leads to another band
LOOP = 0.36  # below the steps of a round, for the way back to the first one
CHIP, CHIP_STEP = 0.36, 0.62  # the name of a round, and the way to the next
TEXT, TITLE = 9, 12.5  # points


class PlacementError(ValueError):
    """BANDS has no place for a group, for its assets, or for an arrow between two groups."""


@dataclass(frozen=True)
class Box:
    """A rectangle: its lower left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def top(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def centre(self) -> float:
        return self.x + self.width / 2


def inches(text: str, size: float, weight: str = "normal") -> float:
    """Returns the width of a line of text."""
    return TextPath((0, 0), text, prop=FontProperties(weight=weight, size=size)).get_extents().width / 72


def pill_width(names: Iterable[str]) -> float:
    return max(inches(name, TEXT) for name in names) + 0.24


def listed(stages: list[Stage]) -> list[list[str]]:
    """Returns a group's assets in columns of at most ROWS, of about equal length."""
    names = outline.labels(stages)
    count = -(-len(names) // ROWS)
    ends = itertools.accumulate((len(names[column::count]) for column in range(count)), initial=0)
    return [names[start:end] for start, end in itertools.pairwise(ends)]


def place(groups: dict[str, list[Stage]]) -> dict[str, Box]:
    """Returns the box of every group. Raises PlacementError if BANDS lacks a group or a band is too wide."""
    if missing := set(groups) - {name for band in BANDS for name in band}:
        raise PlacementError(f"no place for {', '.join(sorted(missing))}: name each group in BANDS")
    places, top = {}, -MARGIN
    for band in BANDS:
        height = HEADER + max(_inner_height(groups[name]) for name in band) + PAD
        least = [_least_width(groups[name], words) for name, words in band.items()]
        spare = (WIDTH - 2 * MARGIN - GAP * (len(band) - 1) - sum(least)) / len(band)
        if spare < 0:
            raise PlacementError(f"{', '.join(band)} are too wide for one band: raise ROWS or move one to another band")
        x = MARGIN
        for name, width in zip(band, least, strict=True):
            places[name] = Box(x, top - height, width + spare, height)
            x += width + spare + GAP
        top -= height + BETWEEN
    return places


def _inner_height(stages: list[Stage]) -> float:
    if outline.repeats(stages):
        return max(map(len, outline.columns(stages))) * ROW + LOOP
    return len(listed(stages)[0]) * ROW - (ROW - PILL)


def _least_width(stages: list[Stage], words: tuple[str, str]) -> float:
    inside = sum(pill_width(part) + NEXT for part in listed(stages)) - NEXT
    return max(inside, inches(words[0], TITLE, "bold"), inches(words[1], TEXT)) + 2 * PAD


def _tint(colour: str) -> tuple[float, ...]:
    return tuple(1 - 0.1 * (1 - part) for part in to_rgb(colour))


def _card(axes: Axes, box: Box, colour: str, fill, order: int = 4) -> None:
    axes.add_patch(FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.07",
                                  facecolor=fill, edgecolor=colour, linewidth=1, zorder=order))  # fmt: skip


def _centred(axes: Axes, x: float, y: float, text: str, colour: str, **style) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=TEXT, color=colour, zorder=5, **style)


def _pill(axes: Axes, box: Box, name: str, colour: str) -> None:
    _card(axes, box, colour, "white")
    _centred(axes, box.centre, box.middle - 0.01, name, INK)


def _arrow(axes: Axes, path: list[tuple[float, float]], colour: str, width: float) -> None:
    """Draws straight lines through the points of `path`, with a head at the last point."""
    axes.plot(*zip(*path[:-1], strict=True), color=colour, lw=width, solid_joinstyle="round", zorder=3)
    axes.add_patch(FancyArrowPatch(path[-2], path[-1], arrowstyle="-|>,head_length=5,head_width=2.8", color=colour, lw=width,
                                   shrinkA=0, shrinkB=0, mutation_scale=1, zorder=3))  # fmt: skip


def _list(axes: Axes, box: Box, stages: list[Stage], colour: str) -> None:
    """Writes the assets in columns that fill the box."""
    parts = listed(stages)
    widths = [pill_width(part) for part in parts]
    spare = (box.width - 2 * PAD - sum(widths) - NEXT * (len(parts) - 1)) / len(parts)
    x = box.x + PAD
    for part, width in zip(parts, widths, strict=True):
        for row, name in enumerate(part):
            _pill(axes, Box(x, box.top - HEADER - row * ROW - PILL, width + spare, PILL), name, colour)
        x += width + spare + NEXT


def _rounds(axes: Axes, box: Box, stages: list[Stage], colour: str) -> None:
    """Draws the steps of one round from left to right, the way back to the first step, and the names of all rounds."""
    parts, names = outline.columns(stages), outline.rounds(stages)
    pills = _step_boxes(box, parts)
    for name, pill in pills.items():
        _pill(axes, pill, name, colour)
        if (found := outline.rounds(stages, name)) != names:
            # Above the first of a column, below the others.
            beside = pill.top + 0.1 if any(name == part[0] for part in parts) else pill.y - 0.12
            _centred(axes, pill.centre, beside, f"{', '.join(found)} only", GREY)
    for before, after in sorted(outline.steps(stages)):
        _arrow(axes, [(pills[before].right, pills[before].middle), (pills[after].x, pills[after].middle)], colour, 1.3)
    low = box.y + PAD + 0.08
    for last, first in ((pills[p], pills[s]) for p, s in sorted(outline.repeats(stages)) if s in parts[0]):
        _arrow(
            axes, [(last.centre, last.y), (last.centre, low), (first.centre, low), (first.centre, first.y)], colour, 1.8
        )
        _centred(axes, (first.centre + last.centre) / 2, low, LOOP_TEXT, colour,
                 bbox={"facecolor": _tint(colour), "edgecolor": "none", "pad": 3})  # fmt: skip
    for number, name in enumerate(reversed(names)):
        chip = Box(box.right - PAD - CHIP - number * CHIP_STEP, box.top - 0.35, CHIP, PILL)
        _card(axes, chip, colour, colour)
        _centred(axes, chip.centre, chip.middle - 0.01, name, "white", weight="bold")
        if number:
            _arrow(axes, [(chip.right, chip.middle), (chip.x + CHIP_STEP, chip.middle)], colour, 1.3)


def _step_boxes(box: Box, parts: list[list[str]]) -> dict[str, Box]:
    """Returns the columns spread over the width of the box, each centred on one line."""
    widths = [pill_width(part) for part in parts]
    between = (box.width - 2 * PAD - sum(widths)) / (len(parts) - 1)
    line = box.y + PAD + LOOP + max(map(len, parts)) * ROW / 2
    found, x = {}, box.x + PAD
    for part, width in zip(parts, widths, strict=True):
        for row, name in enumerate(part):
            found[name] = Box(x, line + ((len(part) - 1) / 2 - row) * ROW - PILL / 2, width, PILL)
        x += width + between
    return found


def _way(start: Box, end: Box) -> list[tuple[float, float]]:
    """Returns the path from a box to the one beside it, or from its right end to the left end of a box in the band below."""
    if start.y == end.y and 0 < end.x - start.right < 2 * GAP:
        return [(start.right, start.middle), (end.x, start.middle)]
    if 0 < start.y - end.top < 2 * BETWEEN:
        gap, down, along = (start.y + end.top) / 2, start.right - TURN, end.x + TURN
        return [(down, start.y), (down, gap), (along, gap), (along, end.top)]
    return []


def figure(stages: list[Stage]) -> Figure:
    """Returns the picture. Raises PlacementError if BANDS has no place for a group or an arrow."""
    groups = outline.families(stages)
    places = place(groups)
    height = MARGIN - min(box.y for box in places.values())
    drawn = Figure(figsize=(WIDTH, height), dpi=200)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(-height, 0)
    axes.axis("off")
    words = {name: text for band in BANDS for name, text in band.items()}
    for name, members in groups.items():
        box, colour, (title, purpose) = places[name], COLOURS[name], words[name]
        _card(axes, box, colour, _tint(colour), order=1)
        axes.text(box.x + PAD, box.top - 0.23, title, fontsize=TITLE, weight="bold", color=colour, va="center")
        axes.text(box.x + PAD, box.top - 0.44, purpose, fontsize=TEXT, color=GREY, va="center")
        (_rounds if outline.repeats(members) else _list)(axes, box, members, colour)
    for start, end in sorted(outline.arrows(stages)):
        if not (way := _way(places[start], places[end])):
            raise PlacementError(f"no way for the arrow from {start} to {end}: put them side by side in BANDS")
        _arrow(axes, way, INK, 2.2)
    return drawn


def draw(path: Path) -> None:
    """Writes the picture in the format of the suffix, on white, so that it is readable on a dark page too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure(list(STAGES.values())).savefig(path, facecolor="white")


def main() -> None:
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/graph.png"))


if __name__ == "__main__":
    main()
