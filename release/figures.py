"""The numbers that people are shown, read from records and the tables beside them: for the model card and the README."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from release.lineage import Artifact, Lineage

DEGREES = ("significantly better", "better", "slightly better", "negligibly better or unsure", "average")


class MissingFigureError(ValueError):
    """A record does not hold a number that belongs into the table."""


@dataclass(frozen=True)
class Section:
    title: str
    artifact: Artifact | None  # whose record the numbers come from
    head: tuple[str, ...]
    rows: list[tuple]
    note: str


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; pipes and line breaks in cells cannot break it."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def as_markdown(section: Section, marked: bool) -> str:
    """Title, table and note; `marked` adds the fingerprint of the record."""
    mark = f" (`{section.artifact.record['fingerprint'][:12]}`)" if marked and section.artifact else ""
    return f"**{section.title}**{mark}\n\n{table(section.head, section.rows)}" + (
        f"\n{section.note}\n" if section.note else ""
    )


def metric(artifact: Artifact, name: str):
    """One number of a record. Raises MissingFigureError naming the artifact to make again."""
    metrics = artifact.record["metrics"]
    if name not in metrics:
        raise MissingFigureError(
            f"the record of {artifact.name} has no {name!r}: other code made it, materialize {artifact.record['asset']} again"
        )
    return metrics[name]


def bits_per_byte(artifact: Artifact) -> Section:
    floors = {"xz": "xz -9e", "ppmd6": "PPMd order 6", "ppmd8": "PPMd order 8"}
    rows = []
    for row in [*metric(artifact, "by_source"), {"source": "**all**", **artifact.record["metrics"]}]:
        values = [row["bits_per_byte"], *(row[name] for name in floors)]
        shown = [f"**{value:.3f}**" if value == min(values) else f"{value:.3f}" for value in values]
        rows.append((row["source"], *shown))
    note = (
        f"Lower is better; bold is the lowest of its row. Below every compressor on "
        f"{metric(artifact, 'sources_below_every_floor')} of {metric(artifact, 'sources')} sources. Compressors read the "
        "training text of the source first."
    )
    return Section("Bits per byte on held-out text", artifact, ("Source", "Base model", *floors.values()), rows, note)


def reward_accuracy(artifact: Artifact) -> Section:
    """Tables 7 and 8: last round's models by degree of preference, with 95 % intervals."""
    found = pq.read_table(artifact.folder / "accuracy.parquet").to_pylist()
    last = max(row["round"] for row in found)
    cells = {
        (row["model"], row["pairs"], row["degree"]): row
        for row in found
        if row["round"] == last and row["pairs_round"] == 0
    }
    degrees = [degree for degree in dict.fromkeys(row["degree"] for row in found) if degree != "average"] + ["average"]
    rows = [
        (f"{model} model on {pairs} pairs", *(share(cells.get((model, pairs, degree))) for degree in degrees))
        for model, pairs in dict.fromkeys((model, pairs) for model, pairs, _ in cells)
    ]
    note = f"Round {last}, {metric(artifact, 'pairs_test')} held-out pairs, 95 % intervals; 50 % is chance."
    return Section("Reward models: accuracy by degree of preference", artifact, ("", *degrees), rows, note)


def share(row: dict | None) -> str:
    """78.1 % (70–84), or that there was nothing to count."""
    if row is None or row["value"] is None:
        return "no pairs"
    return f"{100 * row['value']:.1f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f})"


def best_of_n(artifact: Artifact) -> Section:
    """Figure 7 at powers of two and the last N."""
    curve = {point["n"]: point for point in metric(artifact, "best_of_n")}
    sizes = sorted({n for n in curve if n & (n - 1) == 0} | {max(curve)})
    rows = [(name, *(f"{curve[n][name]:.3f}" for n in sizes)) for name in ("max", "median")]
    title = f"Reward of the best and the middle of N answers ({artifact.record['asset'].split('/')[0]})"
    return Section(title, artifact, ("Reward", *(f"N = {n}" for n in sizes)), rows, "")


READERS: dict[str, Callable[[Artifact], Section]] = {
    "bits_per_byte": bits_per_byte,
    "reward_report": reward_accuracy,
    "rejection_samples": best_of_n,
}


def sections(parents: dict[str, Artifact]) -> list[Section]:
    """A section for every evaluation there is among `parents`, in the order of the paper."""
    return [reader(parents[role]) for role, reader in READERS.items() if role in parents]


def last_rejection(chain: Lineage) -> dict[str, Artifact]:
    """{"rejection_samples": that of the last round}, or nothing where the chain holds none."""
    rounds = sorted(
        (a for a in chain.artifacts if a.record["asset"].endswith("/rejection_samples")), key=lambda a: a.name
    )
    return {"rejection_samples": rounds[-1]} if rounds else {}


def totals(artifacts: Sequence[Artifact]) -> dict[str, float]:
    """Hours, energy and emissions, each artifact once."""
    return {
        "hours": sum(a.record["seconds"] for a in artifacts) / 3600,
        "kwh": sum(a.record["energy"]["kwh"] for a in artifacts),
        "kg_co2e": sum(a.record["energy"]["kg_co2e"] for a in artifacts),
    }


def cost(chain: Lineage) -> Section:
    """Table 2 for this run: one row a group of artifacts."""
    groups: dict[str, list[Artifact]] = {}
    for artifact in chain.artifacts:
        groups.setdefault(artifact.record["asset"].split("/")[0], []).append(artifact)
    rows = []
    for name, members in groups.items():
        watts = "/".join(sorted({f"{a.record['energy']['watts']:g}" for a in members}))
        rows.append((name, *amounts(members), watts))
    rows.append(("**all**", *amounts(chain.artifacts), ""))
    return Section("Time, energy and emissions", None, ("Stage", "Time", "kWh", "kg CO2e", "Watts"), rows, "")


def amounts(artifacts: Sequence[Artifact]) -> tuple[str, str, str]:
    spent = totals(artifacts)
    return duration(spent["hours"] * 3600), f"{spent['kwh']:.4f}", f"{spent['kg_co2e']:.4f}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
