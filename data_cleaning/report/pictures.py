"""The histogram of the documents' toxicity (the paper's Figure 13) as a PNG."""

from pathlib import Path

from data_cleaning.files import replacing
from data_cleaning.report.flow import COLOURS, DROP_COLOUR, FAINT, INK
from data_cleaning.report.toxicity import BINS, TOXIC


def draw_toxicity(found: dict, target: Path) -> None:
    """Draws the number of documents by toxicity (data_cleaning/report/toxicity.py: count) on a logarithmic scale."""
    from matplotlib.figure import Figure  # not pyplot, which retains figures and selects a window system

    counts = found["histogram"]
    figure = Figure(figsize=(8.6, 3.9), dpi=130, facecolor="white", layout="constrained")
    axes = figure.subplots()
    colours = [DROP_COLOUR if place > TOXIC * BINS else COLOURS[0] for place in range(BINS + 1)]
    bars = axes.bar(range(BINS + 1), counts, width=0.86, color=colours)
    axes.bar_label(bars, [f"{count:,}" if count else "0" for count in counts], fontsize=10, color=INK, padding=2)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 12 * max(*counts, 1))
    tenths = [f"{place / BINS:.1f}–{(place + 1) / BINS:.1f}" for place in range(BINS)]
    axes.set_xticks(range(BINS + 1), ["0", f"0–{1 / BINS:.1f}", *tenths[1:]], fontsize=10)
    axes.set_xlabel("toxicity of a document: mean score of its lines", fontsize=10.5, color=INK)
    axes.set_ylabel("documents", fontsize=10.5, color=INK)
    axes.tick_params(colors=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(target) as part:
        figure.savefig(part, format="png", metadata={"Software": None})
