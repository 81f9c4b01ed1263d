"""The corpus report (paper 4.1): what each step kept and dropped, who is written about, toxicity, languages, licences."""

import functools
import json
from dataclasses import asdict
from pathlib import Path

from data_cleaning.files import write_text
from data_cleaning.recipes import ReportRecipe
from data_cleaning.report import counts, measuring, thresholds, toxicity
from data_cleaning.report.contents import PAGE, total
from data_cleaning.report.measuring import PARTS, STEPS
from data_cleaning.report.quotable import Retracted, digests_in
from data_cleaning.retractions import of_recipe

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
    over = functools.partial(measuring.over_shards, inputs=inputs, out=out, log=log)
    retracted, rated = _retracted(config, inputs, over), toxicity.read_terms(inputs["toxicity"])
    read = functools.partial(measuring.read_shard, config, retracted, rated, inputs)
    parts = over(read, steps=STEPS, step="steps")
    kept, gone = ({name: [part[name][of] for part in parts if of in part[name]] for name in STEPS} for of in PARTS)
    final = [part["final"] for part in parts if "final" in part]
    dropped, beside = (
        {name: [part["closest"] for part in found[name] if "closest" in part] for name in STEPS}
        for found in (gone, kept)
    )
    beside[STEPS[-1]] = [part["closest"] for part in final]
    if wanted := frozenset(thresholds.merged(dropped["quality"], 0)):  # only these are measured again
        share = config.most_measured / max(sum(total(part["kept"])["documents"] for part in kept["quality"]), 1)
        again = functools.partial(measuring.read_quality, config, retracted, wanted, share, inputs["quality"])
        beside["quality"] = [part["closest"] for part in over(again, steps=("quality",), step="thresholds")]
    spoken = [counts.add(part["languages"] for part in found["language"]) for found in (kept, gone)]
    return {
        "steps": [
            {
                "step": name,
                "name": NAMES[name],
                "kept": counts.add(part["kept"] for part in kept[name]),
                "dropped": counts.merged((part["dropped"] for part in gone[name]), config.samples_per_reason),
                "thresholds": _both_sides(config, dropped[name], beside[name]),
            }
            for name in STEPS
        ],
        "replaced": counts.replaced(inputs["pii"]),
        "quarantine": counts.quarantine(inputs["documents"], config.samples_per_reason),
        "languages": counts.languages(*spoken),
        "language_threshold": config.language.threshold,
        "size": counts.add(part["size"] for part in final),
        "demographics": {"axes": {}, "descriptors": {}, "pronouns": {}}
        | counts.add(part["demographics"] for part in final),
        "toxicity": toxicity.merged([part["toxicity"] for part in final], rated, inputs["toxicity"]) if rated else None,
        "licenses": dict(config.licenses),
    }


def _retracted(config: ReportRecipe, inputs: dict[str, Path], over) -> Retracted:
    """Returns what may not be quoted. Copies are known by the words that a retracted document has at any step."""
    retractions = of_recipe(config.retractions)
    if not retractions:
        return Retracted(())
    function = functools.partial(digests_in, retractions, [inputs[step] for step in STEPS])
    parts = over(function, steps=STEPS, step="retracted")
    return Retracted(retractions, frozenset(digest for part in parts for digest in part["digests"]))


def _both_sides(config: ReportRecipe, dropped: list, kept: list) -> list[dict]:
    """Returns each threshold that dropped a document, with the samples closest to it on both sides."""
    beyond, within = (thresholds.merged(parts, config.samples_per_side) for parts in (dropped, kept))
    return [
        asdict(threshold) | {"dropped": samples, "kept": within.get(threshold, [])}
        for threshold, samples in beyond.items()
        if samples
    ]
