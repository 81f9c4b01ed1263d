"""The corpus report (paper 4.1): what each step kept and dropped, who is written about, toxicity, languages, licences."""

import functools
import json
from dataclasses import asdict
from pathlib import Path

from data_cleaning.files import write_text
from data_cleaning.recipes import ReportRecipe
from data_cleaning.report import counts, measuring, thresholds, toxicity
from data_cleaning.report.contents import PAGE, total
from data_cleaning.report.quotable import Retracted, digests_in
from data_cleaning.retractions import of_recipe

STEPS = ("documents", "language", "quality", "pii", "deduplicated", "decontaminated")
NAMES = {
    "documents": "Extracted",
    "language": "Language",
    "quality": "Quality",
    "pii": "Personal data",
    "deduplicated": "Deduplicated",
    "decontaminated": "Decontaminated",
}


def run(config: ReportRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes report.json, report.md, report.html and plots/ from the artifacts of all corpus steps.

    inputs: the steps, and "toxicity" with the sources of data_cleaning/report/toxicity.py. Metrics: documents and bytes
    read and kept, share kept, shares of documents that are toxic and that name each kind of people, and a table of what
    each step kept by source.
    """
    from data_cleaning.report import flow, markdown, page, pictures  # they import matplotlib

    report = measure(config, inputs, out, log)
    plots = out / "plots"
    plots.mkdir(exist_ok=True)
    flow.draw_flow(report["steps"], plots / "flow.png")
    if report["toxicity"]:
        pictures.draw_toxicity(report["toxicity"]["all"], plots / "toxicity.png")
    write_text(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "report.md", markdown.render(report))
    write_text(out / PAGE, page.render(report, plots))
    read, left = total(report["steps"][0]["kept"]), total(report["steps"][-1]["kept"])
    documents = max(left["documents"], 1)
    return {
        "documents_in": read["documents"],
        "documents_out": left["documents"],
        "bytes_in": read["bytes"],
        "bytes_out": left["bytes"],
        "kept_of_bytes": round(left["bytes"] / max(read["bytes"], 1), 4),
        "quarantined": report["quarantine"]["entries"],
        **{f"axis_{axis}": round(n / documents, 4) for axis, n in report["demographics"]["axes"].items()},
        **({"toxic": round(report["toxicity"]["all"]["toxic"] / documents, 5)} if report["toxicity"] else {}),
        "kept_by_source": [
            {"step": step["name"], **{name: count["documents"] for name, count in step["kept"].items()}}
            for step in report["steps"]
        ],
    }


def measure(config: ReportRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Returns the content of report.json. Shards are measured in parallel; one that is done is not measured again."""
    over = functools.partial(measuring.over_shards, out=out, log=log)
    retracted = _retracted(config, inputs, over)
    read = {name: functools.partial(measuring.read_step, config, retracted, name) for name in STEPS}
    lost = {name: functools.partial(measuring.read_dropped, config, retracted, name) for name in STEPS[1:]}
    kept = {name: over(function, inputs[name], "documents", step=name) for name, function in read.items()}
    gone = {name: over(function, inputs[name], "dropped", step=name) for name, function in lost.items()}
    rated, last = toxicity.read_terms(inputs["toxicity"]), STEPS[-1]
    final = functools.partial(measuring.read_final, config, retracted, rated, inputs[last])
    parts = over(final, inputs[last], "documents", step="final")
    dropped = {"documents": [], **{name: [part["closest"] for part in found] for name, found in gone.items()}}
    beside = {name: [part["closest"] for part in found if "closest" in part] for name, found in kept.items()}
    beside[last] = [part["closest"] for part in parts]
    if wanted := frozenset(thresholds.merged(dropped["quality"], 0)):  # only these are measured again
        share = config.most_measured / max(sum(part["documents_in"] for part in kept["quality"]), 1)
        again = functools.partial(measuring.read_quality, config, retracted, wanted, share)
        measured = over(again, inputs["quality"], "documents", step="quality-thresholds")
        beside["quality"] = [part["closest"] for part in measured]
    spoken = [counts.add(part["languages"] for part in found["language"]) for found in (kept, gone)]
    return {
        "steps": [
            {
                "step": name,
                "name": NAMES[name],
                "kept": counts.add(part["kept"] for part in kept[name]),
                "dropped": counts.merged((part["dropped"] for part in gone.get(name, [])), config.samples_per_reason),
                "thresholds": _both_sides(config, dropped[name], beside[name]),
            }
            for name in STEPS
        ],
        "replaced": counts.replaced(inputs["pii"]),
        "quarantine": counts.quarantine(inputs["documents"], config.samples_per_reason),
        "languages": counts.languages(*spoken),
        "size": counts.add(part["size"] for part in parts),
        "demographics": {"axes": {}, "descriptors": {}, "pronouns": {}}
        | counts.add(part["demographics"] for part in parts),
        "toxicity": toxicity.merged([part["toxicity"] for part in parts], rated, inputs["toxicity"]) if rated else None,
        "licenses": dict(config.licenses),
    }


def _retracted(config: ReportRecipe, inputs: dict[str, Path], over) -> Retracted:
    """Returns what may not be quoted. Copies are known by the words that a retracted document has at any step."""
    retractions = of_recipe(config.retractions)
    if not retractions:
        return Retracted(())
    function = functools.partial(digests_in, retractions)
    parts = [part for step in STEPS for part in over(function, inputs[step], "documents", step=f"retracted-{step}")]
    return Retracted(retractions, frozenset(digest for part in parts for digest in part["digests"]))


def _both_sides(config: ReportRecipe, dropped: list, kept: list) -> list[dict]:
    """Returns each threshold that dropped a document, with the samples closest to it on both sides."""
    beyond, within = (thresholds.merged(parts, config.samples_per_side) for parts in (dropped, kept))
    return [
        asdict(threshold) | {"dropped": samples, "kept": within.get(threshold, [])}
        for threshold, samples in beyond.items()
        if samples
    ]
