"""The corpus report: counts and bytes after each step by source, dropped text with reasons, a picture of the flow."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_cleaning.documents import shard_paths
from data_cleaning.filters.pii import masked
from data_cleaning.json_lines import read_rows
from data_cleaning.markdown import literal
from data_cleaning.recipes import ReportRecipe
from data_cleaning.report.units import counted, megabytes

STEPS = ("documents", "language", "quality", "pii", "deduplicated", "decontaminated")
NAMES = {
    "documents": "Extracted",
    "language": "Language",
    "quality": "Quality",
    "pii": "Personal data",
    "deduplicated": "Deduplicated",
    "decontaminated": "Decontaminated",
}
EXCERPT_CHARACTERS = 200


def run(config: ReportRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes report.json, report.md and plots/flow.png from the artifacts of all corpus steps.

    Metrics: documents and bytes read and kept, share kept, and a table of what each step kept by source.
    """
    from data_cleaning.report.flow import draw_flow

    report = {"steps": [], "quarantine": quarantine(inputs["documents"], config.samples_per_reason)}
    for number, step in enumerate(STEPS, start=1):
        kept = count_by(shard_paths(inputs[step]), "source")
        report["steps"].append({"step": step, "name": NAMES[step], "kept": kept, "dropped": {}})
        if step != "documents":
            report["steps"][-1]["dropped"] = dropped(shard_paths(inputs[step], "dropped"), config.samples_per_reason)
        log.progress(number, len(STEPS), unit="step")
    report["languages"] = languages(inputs["language"])
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    (out / "plots").mkdir(exist_ok=True)
    draw_flow(report["steps"], out / "plots" / "flow.png")
    read, left = _sum(report["steps"][0]["kept"]), _sum(report["steps"][-1]["kept"])
    return {
        "documents_in": read["documents"],
        "documents_out": left["documents"],
        "bytes_in": read["bytes"],
        "bytes_out": left["bytes"],
        "kept_of_bytes": round(left["bytes"] / max(read["bytes"], 1), 4),
        "quarantined": report["quarantine"]["entries"],
        "kept_by_source": [
            {"step": step["name"], **{name: count["documents"] for name, count in step["kept"].items()}}
            for step in report["steps"]
        ],
    }


def count_by(shards: list[Path], column: str) -> dict[str, dict]:
    """Returns {value: {"documents", "bytes"}} over all shards, in the order of values; reads one shard at a time."""
    documents, sizes = Counter(), Counter()
    for shard in shards:
        table = pq.read_table(shard, columns=[column, "text"])
        sized = pa.table({"key": table[column], "bytes": pc.binary_length(table["text"])})
        for row in sized.group_by("key").aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
            documents[row["key"]] += row["bytes_count"]
            sizes[row["key"]] += row["bytes_sum"]
    return {key: {"documents": documents[key], "bytes": sizes[key]} for key in sorted(documents)}


def dropped(shards: list[Path], samples: int) -> dict[str, dict]:
    """Returns {reason: {"documents", "bytes", "by_source", "samples"}}, the largest first.

    The samples have the smallest hashes of their ids: they are spread over the corpus and the same in every run.
    """
    reasons: dict[str, dict] = {}
    chosen: dict[str, list] = {}
    for shard in shards:
        table = pq.read_table(shard, columns=["id", "source", "reason", "value", "detail", "text"])
        table = table.append_column("bytes", pc.binary_length(table["text"]))
        grouped = table.group_by(["reason", "source"]).aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in grouped.to_pylist():
            reason = reasons.setdefault(row["reason"], {"documents": 0, "bytes": 0, "by_source": {}})
            source = reason["by_source"].setdefault(row["source"], {"documents": 0, "bytes": 0})
            for count in (reason, source):
                count["documents"] += row["bytes_count"]
                count["bytes"] += row["bytes_sum"]
        for number, (name, reason) in enumerate(zip(*(table[c].to_pylist() for c in ("id", "reason")), strict=True)):
            order, best = -xxhash.xxh64_intdigest(name.encode()), chosen.setdefault(reason, [])
            if len(best) < samples or order > best[0][0]:
                push = heapq.heappush if len(best) < samples else heapq.heapreplace
                push(best, (order, name, _sample(table.slice(number, 1).to_pylist()[0])))
    for reason, best in chosen.items():
        reasons[reason]["samples"] = [sample for _, _, sample in sorted(best, reverse=True)]
    return dict(sorted(reasons.items(), key=lambda item: (-item[1]["bytes"], item[0])))


def _sample(row: dict) -> dict:
    return {
        "id": row["id"],
        "value": row["value"],
        "detail": row["detail"] or "",
        "excerpt": excerpt(row["text"]),
    }


def excerpt(text: str) -> str:
    """Returns the beginning of a text as one line, with placeholders for personal information."""
    line = " ".join(masked(text[: EXCERPT_CHARACTERS * 4]).split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1].rstrip() + "…"


def languages(labelled: Path) -> dict[str, dict]:
    """Returns {language: {"documents", "bytes", "kept"}} of all labelled documents, the largest first."""
    kept = count_by(shard_paths(labelled), "lang")
    gone = count_by(shard_paths(labelled, "dropped"), "lang")
    found = {
        code: {
            "documents": kept.get(code, {}).get("documents", 0) + gone.get(code, {}).get("documents", 0),
            "bytes": kept.get(code, {}).get("bytes", 0) + gone.get(code, {}).get("bytes", 0),
            "kept": kept.get(code, {}).get("documents", 0),
        }
        for code in kept.keys() | gone.keys()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1]["documents"], item[0])))


def quarantine(documents: Path, samples: int) -> dict:
    """Returns {"entries", "bytes", "errors": {error: count}, "samples"} of the extraction's quarantine.jsonl."""
    errors, size, first = Counter(), 0, {}
    for _, entry in read_rows(documents / "quarantine.jsonl"):
        kind = entry["error"].partition(":")[0]
        errors[kind] += 1
        size += entry["bytes"]
        if len(first.setdefault(kind, [])) < samples:
            first[kind].append(entry)
    return {"entries": errors.total(), "bytes": size, "errors": dict(errors.most_common()), "samples": first}


def markdown(report: dict) -> str:
    """Returns the report as Markdown: what each step kept by source, languages, and every reason with its samples."""
    steps = report["steps"]
    read, left = _sum(steps[0]["kept"]), _sum(steps[-1]["kept"])
    share = left["bytes"] / max(read["bytes"], 1)
    lines = [
        "# Corpus",
        "",
        f"{read['documents']:,} documents ({megabytes(read['bytes'])}) were read; {left['documents']:,} "
        f"({megabytes(left['bytes'])}, {share:.0%}) are left after all steps. {report['quarantine']['entries']:,} inputs "
        f"({megabytes(report['quarantine']['bytes'])}) are no text or could not be read; they are in quarantine.",
        "",
        "![flow](plots/flow.png)",
        "",
        "## Documents after each step",
        "",
        *_table(["source", *(step["name"] for step in steps), "kept"], _kept_rows(steps, "documents")),
        "",
        "## Text after each step (MB)",
        "",
        *_table(["source", *(step["name"] for step in steps), "kept"], _kept_rows(steps, "bytes")),
        "",
        "## Languages found",
        "",
        *_table(
            ["language", "documents", "text", "kept"],
            [
                [literal(code), f"{count['documents']:,}", megabytes(count["bytes"]), f"{count['kept']:,}"]
                for code, count in list(report["languages"].items())[:15]
            ],
        ),
        "",
        "## What was dropped, and why",
        "",
    ]
    for step in steps[1:]:
        lines += [f"### {step['name']}", ""]
        lines += list(_reasons(step)) or ["Nothing was dropped.", ""]
    if report["quarantine"]["entries"]:
        lines += ["## Quarantine", ""]
        for kind, samples in report["quarantine"]["samples"].items():
            lines += [f"**{literal(kind)}**: {report['quarantine']['errors'][kind]:,}", ""]
            for sample in samples:
                place = literal(f"{sample['source']}/{sample['file']}")
                lines.append(f"- {place} at byte {sample['offset']:,}: {literal(sample['error'])}")
            lines.append("")
    return "\n".join(lines)


def _reasons(step: dict) -> Iterator[str]:
    for reason, count in step["dropped"].items():
        sources = ", ".join(f"{name} {c['documents']:,}" for name, c in sorted(count["by_source"].items()))
        amount = f"{counted(count['documents'])}, {megabytes(count['bytes'])}"
        yield f"**{reason.replace('_', ' ')}**: {amount} ({sources})"
        yield ""
        for sample in count["samples"]:
            value = "" if sample["value"] is None else f" ({sample['value']:.3g})"
            detail = f" → {literal(sample['detail'])}" if sample["detail"] else ""
            yield f"- {literal(sample['id'])}{value}{detail}: {literal(sample['excerpt'])}"
        yield ""


def _kept_rows(steps: list[dict], unit: str) -> list[list[str]]:
    rows = []
    for source in [*sorted(steps[0]["kept"]), None]:
        counts = [
            (_sum(step["kept"]) if source is None else step["kept"].get(source, {"documents": 0, "bytes": 0}))[unit]
            for step in steps
        ]
        shown = [f"{count:,}" if unit == "documents" else f"{count / 1e6:,.2f}" for count in counts]
        rows.append(["**all**" if source is None else source, *shown, f"{counts[-1] / max(counts[0], 1):.0%}"])
    return rows


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(row) + " |" for row in [header, ruler, *rows]]


def _sum(counts: dict[str, dict]) -> dict:
    return {unit: sum(count[unit] for count in counts.values()) for unit in ("documents", "bytes")}
