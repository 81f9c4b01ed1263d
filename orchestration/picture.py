"""The graph as a picture, drawn from the declared stages: `python -m orchestration.picture docs/graph.png`."""

import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from assets import STAGES
from orchestration.stage import Stage

COLOURS = {"corpus": "#2f6f73", "pretraining": "#3d5a98", "finetuning": "#7a4a8c", "rlhf": "#b0553a", "safety": "#a8802a",
           "evaluation": "#4f7a3a", "release": "#333f48"}  # fmt: skip
WIDTH, HEIGHT, GAP_X, GAP_Y = 2.5, 0.42, 0.62, 0.16
# Columns of the picture; groups in one column stand below each other.
COLUMNS = (("corpus",), ("pretraining", "finetuning"), ("rlhf_v1", "rlhf_v2"), ("rlhf_v3", "rlhf_v4"),
           ("rlhf_v5", "safety"), ("evaluation", "release"))  # fmt: skip


def _place(stages: list[Stage]) -> dict[str, tuple[float, float]]:
    """Lower left corner of every stage's box."""
    places = {}
    for column, groups in enumerate(COLUMNS):
        y = 0.0
        for group in groups:
            y -= 0.55  # room for the group's title
            for stage in (stage for stage in stages if stage.group == group):
                places[stage.key] = (column * (WIDTH + GAP_X), y)
                y -= HEIGHT + GAP_Y
            y -= 0.25
    return places


def _arrows(axes, stages: list[Stage], places: dict[str, tuple[float, float]]) -> None:
    """Stage to stage within a group; between groups one arrow, from where the first such arrow starts."""
    drawn = set()
    for stage in stages:
        x, y = places[stage.key]
        for parent in dict.fromkeys(parent for _, parent in stage.inputs):
            px, py = places[parent.key]
            inside = parent.group == stage.group
            if not inside and (parent.group, stage.group) in drawn:
                continue
            drawn.add((parent.group, stage.group))
            start = (px, py + HEIGHT / 2) if px == x else (px + WIDTH, py + HEIGHT / 2)
            style = {"arrowstyle": "-|>", "color": "#78848c" if inside else "#aab4bb", "lw": 0.8, "mutation_scale": 8,
                     "connectionstyle": f"arc3,rad={0.4 if px == x else 0.0}"}  # fmt: skip
            axes.annotate("", (x, y + HEIGHT / 2), start, zorder=1, arrowprops=style)


def draw(path: Path) -> None:
    """Writes the picture; its format follows the suffix."""
    stages = list(STAGES.values())
    places = _place(stages)
    left, low = max(x for x, _ in places.values()) + WIDTH, min(y for _, y in places.values())
    figure = Figure(figsize=(left + 1.1, -low + 1.1), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.9, left + 0.2)  # on the left, room for the curved arrows of the first column
    axes.set_ylim(low - 0.3, HEIGHT + 0.4)
    axes.axis("off")
    _arrows(axes, stages, places)
    for group in dict.fromkeys(stage.group for stage in stages):
        members = [stage for stage in stages if stage.group == group]
        colour = COLOURS[group.split("_")[0]]
        x, y = places[members[0].key]
        axes.text(x, y + HEIGHT + 0.1, group.replace("rlhf_v", "RLHF-V"), fontsize=10, weight="bold", color=colour)
        for stage in members:
            x, y = places[stage.key]
            box = FancyBboxPatch(
                (x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.07", color=colour, zorder=2
            )
            axes.add_patch(box)
            axes.text(x + WIDTH / 2, y + HEIGHT / 2, stage.key.split("/")[-1].replace("_", " "), ha="center", va="center",
                      color="white", fontsize=8.5, zorder=3)  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def main() -> None:
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/graph.png"))


if __name__ == "__main__":
    main()
