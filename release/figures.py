"""Tables of results for the model card and the README, read from the records and the files beside them."""

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from data_cleaning.report.units import duration
from modeling.core.statistics import wilson_interval
from release.lineage import Artifact, Lineage


class MissingFigureError(ValueError):
    """A record lacks a metric that the table needs."""


@dataclass(frozen=True)
class Section:
    title: str
    artifact: Artifact | None  # source of the numbers
    head: tuple[str, ...]
    rows: list[tuple]
    note: str


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a Markdown table; pipes and line breaks in cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def as_markdown(section: Section, marked: bool) -> str:
    """Returns title, table and note. `marked` adds the fingerprint of the record."""
    mark = f" (`{section.artifact.record['fingerprint'][:12]}`)" if marked and section.artifact else ""
    return f"**{section.title}**{mark}\n\n{table(section.head, section.rows)}" + (
        f"\n{paragraph(section.note)}\n" if section.note else ""
    )


def paragraph(text: str) -> str:
    """Wraps the text to lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def metric(artifact: Artifact, name: str):
    """Returns a metric of a record. Raises MissingFigureError, which names the artifact to materialize again."""
    metrics = artifact.record["metrics"]
    if name not in metrics:
        raise MissingFigureError(
            f"the record of {artifact.name} has no {name!r}: other code made it; materialize {artifact.record['asset']} again"
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


def benchmarks(artifact: Artifact) -> Section:
    """A small version of Table 20: the base, SFT and final models against chance."""
    models = {"base_model": "Base", "sft_model": "SFT", "chat_model": "Final"}
    rows = []
    for row in metric(artifact, "rows"):
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


def interval(row: dict | None, name: str) -> str:
    """Formats a rate and its interval as 78.1 % (70–84), or as a dash without data."""
    if row is None or row[name] is None:
        return "–"
    return f"{100 * row[name]:.1f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f})"


def sampled(artifact: Artifact) -> str:
    """Describes the sampling of the answers."""
    recipe = artifact.record["recipe"]["sampling"]
    return f"Answers at temperature {recipe['temperature']}, top-p {recipe['top_p']}."


def best_of_n(artifact: Artifact) -> Section:
    """Figure 7 at powers of two and the largest N."""
    curve = {point["n"]: point for point in metric(artifact, "best_of_n")}
    sizes = sorted({n for n in curve if n & (n - 1) == 0} | {max(curve)})
    rows = [(name, *(f"{curve[n][name]:.3f}" for n in sizes)) for name in ("max", "median")]
    title = f"Maximum and median reward of N answers ({artifact.record['asset'].split('/')[0]})"
    return Section(title, artifact, ("Reward", *(f"N = {n}" for n in sizes)), rows, "")


def win_rates(artifact: Artifact) -> Section:
    """Figure 11 as a table: a row per version, both judges on both axes."""
    rows = metric(artifact, "rows")
    found = {(row["version"], row["axis"], row["judge"]): row for row in rows}
    axes, judges, versions = (list(dict.fromkeys(row[key] for row in rows)) for key in ("axis", "judge", "version"))
    shown = {"helpfulness": "Helpfulness", "safety": "Harmlessness"}
    head = ("Version", *(f"{shown.get(axis, axis)}, {judge}" for axis in axes for judge in judges))
    cells = [
        (version, *(interval(found.get((version, axis, judge)), "win_rate") for axis in axes for judge in judges))
        for version in versions
    ]
    counts = ", ".join(f"{next(r['prompts'] for r in rows if r['axis'] == axis)} {axis}" for axis in axes)
    note = (
        f"On {counts} prompts; a tie counts half, 95 % bootstrap intervals. {sampled(artifact)} The policies were "
        "optimized for the reward models; the independent judge took no part in training."
    )
    return Section("Win rates against SFT", artifact, head, cells, note)


def temperature_curve(artifact: Artifact) -> Section:
    """Figure 8 as win rates: a row per version, the helpfulness win rate at every temperature."""
    rows, distinct = metric(artifact, "rows"), metric(artifact, "distinct")
    found = {(row["version"], row["judge"], row["temperature"]): row for row in rows}
    varied = {(row["version"], row["temperature"]): f"{100 * row['distinct']:.0f} %" for row in distinct}
    temperatures, versions = (list(dict.fromkeys(row[key] for row in distinct)) for key in ("temperature", "version"))
    judges = list(dict.fromkeys(row["judge"] for row in rows))
    head = (
        "Version",
        *(f"{judge}, T = {t}" for judge in judges for t in temperatures),
        *(f"variety, T = {t}" for t in temperatures),
    )
    cells = [
        (
            version,
            *(interval(found.get((version, judge, t)), "win_rate") for judge in judges for t in temperatures),
            *(varied[version, t] for t in temperatures),
        )
        for version in versions
    ]
    note = (
        f"Helpfulness against SFT at the same temperature, {metric(artifact, 'prompts')} prompts, 95 % bootstrap intervals. "
        "Variety: the share of distinct word trigrams in all answers."
    )
    return Section("Win rates by sampling temperature", artifact, head, cells, note)


def safety_rates(artifact: Artifact) -> Section:
    """Violation and refusal rates on adversarial prompts and false refusal rates on harmless ones, by both readers."""
    table_file = json.loads((artifact.folder / "safety_rates.json").read_text(encoding="utf-8"))
    rates, reward = table_file["rates"], table_file["safety_reward"]
    found = {(row["version"], row["what"], row["reader"]): row for row in rates}
    whats, readers, versions = (list(dict.fromkeys(row[key] for row in rates)) for key in ("what", "reader", "version"))
    head = ("Version", *(f"{what} rate, {reader}" for what in whats for reader in readers), "safety reward model, mean")
    cells = [
        (
            version,
            *(interval(found.get((version, what, reader)), "rate") for what in whats for reader in readers),
            f"{reward[version]:.3f}",
        )
        for version in versions
    ]
    counts = ", ".join(f"{next(r['prompts'] for r in rates if r['what'] == what)} for {what}s" for what in whats)
    note = (
        f"Prompts: {counts}. A violation helps with the harm; a refusal says no, warns or redirects; nonsense is neither. "
        f"{sampled(artifact)} 95 % intervals. Violations and false refusals: lower is better. Refusals of adversarial prompts "
        "and the reward model: higher is better."
    )
    return Section("Violation and refusal rates", artifact, head, cells, note)


def safety_by_turns(artifact: Artifact) -> Section:
    """Figure 18 as a table: refusal and false refusal rates on single-turn and on multi-turn prompts.

    Has no rows if the scale has no multi-turn prompts, because the rates would repeat the previous table.
    """
    rows = metric(artifact, "by_turns")
    if len({row["turns"] for row in rows}) == 1:
        rows = []
    found = {(row["version"], row["what"], row["turns"], row["reader"]): row for row in rows}
    columns = list(dict.fromkeys((row["what"], row["turns"], row["reader"]) for row in rows))
    head = ("Version", *(f"{what} rate, {turns}, {reader}" for what, turns, reader in columns))
    versions = list(dict.fromkeys(row["version"] for row in rows))
    cells = [(version, *(interval(found[version, *column], "rate") for column in columns)) for version in versions]
    counted: dict[str, dict[str, int]] = {}
    for row in rows:
        counted.setdefault(row["what"], {})[row["turns"]] = row["prompts"]
    counts = [
        f"{what}s: " + ", ".join(f"{count} {turns}" for turns, count in prompts.items())
        for what, prompts in counted.items()
    ]
    note = f"Prompts for {'; for '.join(counts)}."
    return Section("Refusal rates on single-turn and multi-turn prompts", artifact, head, cells, note)


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
    ("reward_report", reward_accuracy),
    ("rejection_samples", best_of_n),
    ("win_rates", win_rates),
    ("temperature_curve", temperature_curve),
    ("safety_rates", safety_rates),
    ("safety_rates", safety_by_turns),
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
