"""Tables of results for the model card and the README, read from the records and the files beside them."""

from collections.abc import Callable, Sequence

import pyarrow.parquet as pq

from data_cleaning.report.units import duration
from modeling.core.statistics import wilson_interval
from modeling.evaluation.benchmark_tasks import MODELS
from release import answer_tables, contamination_tables
from release.lineage import Artifact, Lineage
from release.section import Section, interval, metric


def bits_per_byte(artifact: Artifact) -> Section:
    found = [*metric(artifact, "by_source"), {"source": "**all**", **artifact.record["metrics"]}]
    others = {"checkpoint": "Checkpoint"} if "checkpoint" in found[0] else {}
    others |= {"xz": "xz -9e", "ppmd6": "PPMd order 6", "ppmd8": "PPMd order 8"}
    rows = []
    for row in found:
        values = [row["bits_per_byte"], *(row[name] for name in others)]
        shown = [f"**{value:.3f}**" if value == min(values) else f"{value:.3f}" for value in values]
        rows.append((row["source"], *shown))
    note = (
        f"Lower is better; bold is the lowest of its row. Below every compressor on "
        f"{metric(artifact, 'sources_below_every_floor')} of {metric(artifact, 'sources')} sources. Compressors read the "
        "training text of the source first."
    )
    return Section("Bits per byte on held-out text", artifact, ("Source", "Base model", *others.values()), rows, note)


def benchmarks(artifact: Artifact) -> Section:
    """A small version of Table 20: the checkpoint if there is one, the pretrained and the final model against chance."""
    found = metric(artifact, "rows")
    models = {role: name for role, name in MODELS.items() if f"{role}_accuracy" in found[0]}
    rows = []
    for row in found:
        cells = []
        for name in models:
            accuracy = row[f"{name}_accuracy"]
            low, high = wilson_interval(accuracy * row["questions"], row["questions"])
            text = interval({"value": accuracy, "low": low, "high": high}, "value")
            cells.append(f"**{text}**" if low > row["chance"] else text)
        rows.append((row["benchmark"], row["questions"], row["shots"], f"{100 * row['chance']:.1f} %", *cells))
    head = ("Benchmark", "Questions", "Shots", "Chance", *models.values())
    note = "95 % intervals (Wilson); bold where the whole interval is above chance."
    return Section("Benchmarks", artifact, head, rows, note)


def reward_accuracy(artifact: Artifact) -> Section:
    """Tables 7 and 8: the last round's models by degree of preference, with 95 % intervals."""
    found = pq.read_table(artifact.folder / "accuracy.parquet").to_pylist()
    last = max(row["round"] for row in found)
    cells = {
        (row["model"], row["pairs"], row["degree"]): row
        for row in found
        if row["round"] == last and row["pairs_round"] == 0
    }
    degrees = [degree for degree in dict.fromkeys(row["degree"] for row in found) if degree != "average"] + ["average"]
    rows = [
        (
            f"{model} model on {pairs} pairs",
            *(interval(cells.get((model, pairs, degree)), "value") for degree in degrees),
        )
        for model, pairs in dict.fromkeys((model, pairs) for model, pairs, _ in cells)
    ]
    note = f"Round {last}, {metric(artifact, 'pairs_test')} held-out pairs, 95 % intervals; 50 % is chance."
    return Section("Reward models: accuracy by degree of preference", artifact, ("", *degrees), rows, note)


def best_of_n(artifact: Artifact) -> Section:
    """Figure 7 at powers of two and the largest N."""
    curve = {point["n"]: point for point in metric(artifact, "best_of_n")}
    sizes = sorted({n for n in curve if n & (n - 1) == 0} | {max(curve)})
    rows = [(name, *(f"{curve[n][name]:.3f}" for n in sizes)) for name in ("max", "median")]
    title = f"Maximum and median reward of N answers ({artifact.record['asset'].split('/')[0]})"
    return Section(title, artifact, ("Reward", *(f"N = {n}" for n in sizes)), rows, "")


def ghost_attention(artifact: Artifact) -> Section:
    """Table 30: a row per version, the share of answers that obey the first message's instruction by turn."""
    rows = metric(artifact, "rows")
    shown = {"trained": "trained instructions", "new": "new instructions"}
    turns, versions = (list(dict.fromkeys(row[key] for row in rows)) for key in ("turn", "version"))
    cells = {
        (row["version"], row["constraints"], row["turn"]): f"{interval(row, 'rate')}, {row['dialogues']}"
        for row in rows if row["given"]
    }  # fmt: skip
    table_rows = [
        (version, title, *(cells.get((version, group, turn), "–") for turn in turns))
        for version in versions
        for group, title in shown.items()
    ]
    chance = [row["rate"] for row in rows if not row["given"]]
    note = (
        "Share of answers that obey the instruction of the first message, by rules; 95 % intervals (Wilson) and the number "
        "of dialogues. Ghost Attention trained no instruction of the kinds and values called new."
        + (f" Without an instruction, {100 * sum(chance) / len(chance):.1f} % obey by accident." if chance else "")
    )
    head = ("Version", "", *(f"turn {turn}" for turn in turns))
    return Section("Instructions of the first message at later turns", artifact, head, table_rows, note)


READERS: tuple[tuple[str, Callable[[Artifact], Section]], ...] = (
    ("bits_per_byte", bits_per_byte),
    ("benchmark_scores", benchmarks),
    *contamination_tables.READERS,
    ("reward_report", reward_accuracy),
    ("rejection_samples", best_of_n),
    *answer_tables.READERS,
    ("ghost_attention", ghost_attention),
)


def sections(parents: dict[str, Artifact]) -> list[Section]:
    """Returns the sections with rows of the evaluations among `parents`, in the order of the paper."""
    found = [reader(parents[role]) for role, reader in READERS if role in parents]
    return [section for section in found if section.rows]


def last_rejection(chain: Lineage) -> dict[str, Artifact]:
    """Returns {"rejection_samples": the last round's artifact}, or {} if the chain holds none."""
    rounds = sorted(
        (a for a in chain.artifacts if a.record["asset"].endswith("/rejection_samples")), key=lambda a: a.name
    )
    return {"rejection_samples": rounds[-1]} if rounds else {}


def totals(artifacts: Sequence[Artifact]) -> dict[str, float]:
    """Returns hours, kWh and kg CO2e over the artifacts."""
    return {
        "hours": sum(a.record["seconds"] for a in artifacts) / 3600,
        "kwh": sum(a.record["energy"]["kwh"] for a in artifacts),
        "kg_co2e": sum(a.record["energy"]["kg_co2e"] for a in artifacts),
    }


def cost(chain: Lineage) -> Section:
    """Table 2 for this run: one row per group of artifacts."""
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
    return duration(spent["hours"] * 3600), f"{spent['kwh']:.3g}", f"{spent['kg_co2e']:.3g}"
