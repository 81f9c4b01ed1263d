"""Draws the flow of text through the corpus steps: kept text runs along the top, dropped text branches off below."""

from dataclasses import dataclass
from pathlib import Path as FilePath

from data_cleaning.report.units import counted, megabytes

MOST_SOURCES = 8  # the others are drawn as one source
COLOURS = ("#2f6f9f", "#e08a3c", "#4f9d69", "#8c6bb1", "#c7a53b", "#5fb3b3", "#b5658c", "#7c8796", "#a0785a")
DROP_COLOUR = "#b04a3f"
INK, FAINT = "#22303c", "#6b7885"
BAR = 0.05  # width of a bar; columns stand 1 apart
LEAST_BAR = 0.004  # minimum height of a box of dropped text, as a share of all text
SHARE_GAP = 0.02  # gap between bars as a share of all text


@dataclass(frozen=True)
class Band:
    bottom: float
    top: float


def draw_flow(steps: list[dict], target: FilePath) -> None:
    """Draws `steps` (as in report.json: name, kept by source, dropped by reason) as a PNG; heights are bytes of text.

    Each step is a column, stacked by source, from left to right. Between two columns, the text that a step dropped
    leaves its source's stripe and goes down to a box that names the main reasons.
    """
    from matplotlib.figure import Figure  # not pyplot, which retains figures and selects a window system

    sources, kept = _kept(steps)
    total = max(sum(kept[0].values()), 1)
    gap = SHARE_GAP * total
    figure = Figure(figsize=(2.6 * len(steps) + 2.4, 8.2), dpi=130, facecolor="white")
    axes = figure.add_axes((0.005, 0.02, 0.99, 0.86))
    axes.axis("off")
    axes.set_xlim(-0.78, len(steps) - 1 + 0.78)
    deepest = 0.0
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(sources)}
    columns = [_stack(sources, column, total, gap) for column in kept]
    for number, step in enumerate(steps):
        for name, band in columns[number].items():
            _bar(axes, number, band, colours[name])
        _heading(axes, number, step["name"], step["kept"], total, gap * len(sources))
        if number:
            depth = _draw_step(axes, number, steps, sources, columns, colours, total, gap)
            deepest = min(deepest, depth)
    _label_ends(axes, sources, kept, columns, colours, total, len(steps) - 1)
    axes.set_ylim(deepest - 0.03 * total, total * 1.02 + gap * len(sources) + 0.16 * total)
    share = sum(kept[-1].values()) / total
    figure.text(0.02, 0.945, "From raw text to training corpus", fontsize=19, fontweight="bold", color=INK)
    figure.text(
        0.02,
        0.905,
        f"{megabytes(total)} of text read, {megabytes(sum(kept[-1].values()))} kept ({share:.0%}). Height is bytes of text.",
        fontsize=12.5,
        color=FAINT,
    )
    figure.savefig(target)


def _kept(steps: list[dict]) -> tuple[list[str], list[dict[str, int]]]:
    """Returns the sources to draw, largest first, and the bytes that each step kept of them."""
    first = {name: count["bytes"] for name, count in steps[0]["kept"].items()}
    order = sorted(first, key=lambda name: (-first[name], name))
    shown = order[:MOST_SOURCES] if len(order) > MOST_SOURCES + 1 else order
    kept = []
    for step in steps:
        column = {name: step["kept"].get(name, {"bytes": 0})["bytes"] for name in shown}
        rest = sum(count["bytes"] for name, count in step["kept"].items() if name not in column)
        kept.append(column | ({"others": rest} if len(shown) < len(order) else {}))
    return list(kept[0]), kept


def _dropped(step: dict, sources: list[str]) -> dict[str, int]:
    """Returns the bytes that a step dropped of each drawn source."""
    lost = dict.fromkeys(sources, 0)
    for reason in step["dropped"].values():
        for name, count in reason["by_source"].items():
            lost[name if name in lost else "others"] += count["bytes"]
    return lost


def _stack(sources: list[str], column: dict[str, int], total: float, gap: float) -> dict[str, Band]:
    """Returns bars from the top down, in the order of the sources."""
    bands, top = {}, total + gap * (len(sources) - 1)
    for name in sources:
        bands[name] = Band(top - column[name], top)
        top -= column[name] + (gap if column[name] else 0)
    return bands


def _draw_step(axes, number, steps, sources, columns, colours, total, gap) -> float:
    """Draws ribbons from the previous column to this one and to its box of dropped text; returns the lowest y drawn."""
    lost = _dropped(steps[number], sources)
    amount = sum(lost.values())
    fallen = -0.10 * total
    box = Band(fallen - amount, fallen)
    left, right = number - 1 + BAR, number
    top = box.top
    for name in sources:
        before, after = columns[number - 1][name], columns[number][name]
        split = min(before.bottom + lost[name], before.top)
        if after.top > after.bottom:
            _ribbon(axes, left, Band(split, before.top), right, after, colours[name], 0.42)
        if lost[name]:
            end = Band(top - lost[name], top)
            _ribbon(axes, left, Band(before.bottom, split), right, end, colours[name], 0.24)
            top -= lost[name]
    if amount:
        _bar(axes, number, Band(min(box.bottom, box.top - LEAST_BAR * total), box.top), DROP_COLOUR)
    documents = sum(reason["documents"] for reason in steps[number]["dropped"].values())
    line = 0.042 * total
    middle = box.top if amount else fallen
    if not documents:
        axes.text(number + BAR / 2, fallen, "nothing dropped", fontsize=10, color=FAINT, ha="center", va="center")
        return fallen - line
    axes.text(
        number + BAR + 0.03,
        middle,
        f"−{megabytes(amount)}",
        fontsize=12.5,
        fontweight="bold",
        color=DROP_COLOUR,
        va="top",
    )
    axes.text(number + BAR + 0.03, middle - 1.25 * line, counted(documents), fontsize=10, color=INK, va="top")
    reasons = list(steps[number]["dropped"].items())
    shown = [f"{reason.replace('_', ' ')}  {megabytes(count['bytes'])}" for reason, count in reasons[:4]]
    shown += [f"and {len(reasons) - 4} more reasons"] if len(reasons) > 4 else []
    for place, text in enumerate(shown):
        axes.text(number + BAR + 0.03, middle - (2.4 + place) * line, text, fontsize=9.2, color=FAINT, va="top")
    return min(box.bottom, middle - (2.4 + len(shown)) * line)


def _heading(axes, number: int, name: str, kept: dict, total: float, gaps: float) -> None:
    documents, size = sum(c["documents"] for c in kept.values()), sum(c["bytes"] for c in kept.values())
    top = total + gaps
    middle = number + BAR / 2
    axes.text(middle, top + 0.105 * total, name, fontsize=13, fontweight="bold", color=INK, ha="center", va="bottom")
    axes.text(middle, top + 0.06 * total, f"{megabytes(size)}", fontsize=11.5, color=INK, ha="center", va="bottom")
    axes.text(middle, top + 0.02 * total, counted(documents), fontsize=10, color=FAINT, ha="center", va="bottom")


def _label_ends(axes, sources, kept, columns, colours, total, last) -> None:
    """Draws the names on the left and the kept amounts on the right; moves overlapping labels apart."""
    for column, x, side in ((0, -0.04, "right"), (last, last + BAR + 0.04, "left")):
        names = [name for name in sources if kept[column][name]]
        wanted = [(columns[column][name].top + columns[column][name].bottom) / 2 for name in names]
        for name, middle in zip(names, _apart(wanted, 0.075 * total), strict=True):
            size = kept[column][name]
            share = "" if column == 0 else f" · {size / max(kept[0][name], 1):.0%} kept"
            axes.text(x, middle, name, fontsize=11, fontweight="bold", color=colours[name], ha=side, va="bottom")
            axes.text(x, middle, megabytes(size) + share, fontsize=9.5, color=FAINT, ha=side, va="top")


def _apart(wanted: list[float], least: float) -> list[float]:
    """Returns positions from the top down, at least `least` apart, as close as possible to the wanted ones."""
    placed: list[list[float]] = []  # groups of labels that touch: [sum of wanted offsets, count]
    for number, place in enumerate(wanted):
        placed.append([place + number * least, 1])
        while len(placed) > 1 and placed[-1][0] / placed[-1][1] > placed[-2][0] / placed[-2][1]:
            last = placed.pop()
            placed[-1] = [placed[-1][0] + last[0], placed[-1][1] + last[1]]
    middles = [total / count for total, count in placed for _ in range(int(count))]
    return [middle - number * least for number, middle in enumerate(middles)]


def _bar(axes, x: float, band: Band, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, band.bottom), BAR, band.top - band.bottom, facecolor=colour, linewidth=0, zorder=3))


def _ribbon(axes, left: float, start: Band, right: float, end: Band, colour: str, alpha: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    bend = (right - left) * 0.5
    corners = [
        (left, start.top),
        (left + bend, start.top),
        (right - bend, end.top),
        (right, end.top),
        (right, end.bottom),
        (right - bend, end.bottom),
        (left + bend, start.bottom),
        (left, start.bottom),
        (left, start.top),
    ]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, alpha=alpha, linewidth=0, zorder=2))
