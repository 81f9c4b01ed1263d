"""The tables of docs/ablations.md, from the records alone."""

from pathlib import Path

from benchmarks.ablations import training
from benchmarks.ablations.ablation import Ablation, Place, Records
from benchmarks.ablations.comparison import of_setting
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.core import reporting
from orchestration.console import duration
from release import results

MARKER, SIZE = "ablations", "small"  # <!-- ablations:small -->


def write(path: Path, ablations: tuple[Ablation, ...], recipe: AblationsRecipe, place: Place) -> None:
    """Replaces what stands between the page's markers. Raises MarkerError if it lacks them."""
    results.write(path, SIZE, {MARKER: render(ablations, recipe, place)})


def render(ablations: tuple[Ablation, ...], recipe: AblationsRecipe, place: Place) -> str:
    """Returns Markdown: of each ablation that has records a table of its settings, what is seen, and how it was trained."""
    parts = []
    for ablation in ablations:
        if records := training.read(place, ablation, recipe):
            seen = ablation.seen(ablation.figures(recipe), records)
            said = reporting.table(("Seen", seen), [("Trained", trained(ablation, records, place))])
            parts.append(f"\n## {ablation.title}\n\n{settings_table(ablation, recipe, records)}\n{said}")
    return "".join(parts) + "\n" if parts else "\nNo training is recorded yet.\n\n"


def settings_table(ablation: Ablation, recipe: AblationsRecipe, records: Records) -> str:
    """A row for each setting: means over seeds with 95 % intervals, and the paper's figures."""
    figures = ablation.figures(recipe)
    rows = []
    for place, setting in enumerate(ablation.settings(recipe)):
        if setting in records:
            paper = [cells[place] if place < len(cells) else "" for _, cells in ablation.paper]
            rows.append([setting, *(of_setting(records[setting], figure) for figure in figures), *paper])
    header = ["Setting", *(figure.label for figure in figures), *(column for column, _ in ablation.paper)]
    return reporting.table(header, rows)


def trained(ablation: Ablation, records: Records, place: Place) -> str:
    """How the trainings were made: size, seeds, time, machine and commits."""
    each = [record for of_setting in records.values() for record in of_setting.values()]
    seconds = sorted(record["seconds"] for record in each)

    def different(values: list) -> str:
        return ", ".join(str(value) for value in dict.fromkeys(values))

    metric, unit = ablation.size.split(" ", 1)
    sizes = [f"{record['metrics'][metric]:,}" for record in each]
    commits = [
        (record["git"]["commit"] or "unknown")[:7] + (" with changes" if record["git"]["dirty"] else "")
        for record in each
    ]
    return (
        f"from the store of scale {place.scale}; {different(sizes)} {unit}; seeds "
        f"{different(sorted(record['seed'] for record in each))}; {duration(seconds[len(seconds) // 2])} a training "
        f"(median) on {different([record['host']['cores'] for record in each])} cores; commit {different(commits)}"
    )
