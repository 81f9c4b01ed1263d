"""The tables of results in README.md and docs/results.md, from the records of a scale.

`python -m release.results --store store --scale laptop` prints them. `--write FILE …` writes the summary between the
lines `<!-- summary:laptop -->` and `<!-- /summary:laptop -->` of the files, and all tables between those of
`results:laptop`.
"""

import argparse
import sys
from pathlib import Path

from data_cleaning.files import write_text
from modeling.core import reporting
from release import figures, lineage, section
from release.summary import HEAD, summary

EVALUATIONS = ("bits_per_byte", "benchmark_scores", "benchmark_contamination", "reward_report", "win_rates",
               "temperature_curve", "answer_rates", "ghost_attention")  # fmt: skip


class MarkerError(ValueError):
    """The file lacks the marker lines for the tables."""


def read(store: Path, scale: str) -> tuple[dict[str, lineage.Artifact], lineage.Lineage]:
    """Returns the evaluations of the scale and their lineage.

    Raises LineageError if an evaluation is missing or a parent was replaced.
    """
    missing = [name for name in EVALUATIONS if not (store / scale / name / lineage.RECORD).is_file()]
    if missing:
        raise lineage.LineageError(
            f"{store / scale} has no {', '.join(missing)}: materialize them first (make run SCALE={scale})"
        )
    found = {name: lineage.read(store / scale / name) for name in EVALUATIONS}
    chain = lineage.walk(found.values(), lineage.store_lookup(store))
    if chain.replaced:
        raise lineage.LineageError(
            "these numbers do not come from one run; materialize again: " + "; ".join(chain.replaced)
        )
    return found | figures.last_rejection(chain), chain


def render(store: Path, scale: str) -> dict[str, str]:
    """Returns marker name → Markdown: the summary and all sections."""
    found, chain = read(store, scale)
    parts = [section.as_markdown(one, marked=True) for one in figures.sections(found)]
    parts.append(section.as_markdown(figures.cost(chain), marked=False))
    note = (
        f"Code: {commits(chain)}. The twelve digits after a title begin the fingerprint of the record behind the table."
    )
    parts.append(section.paragraph(note) + "\n")
    return {"summary": reporting.table(HEAD, summary(found, chain)), "results": "\n".join(parts)}


def commits(chain: lineage.Lineage) -> str:
    return ", ".join(dict.fromkeys(lineage.commit_of(artifact.record) for artifact in chain.artifacts))


def write(path: Path, scale: str, texts: dict[str, str]) -> None:
    """Replaces the text between each pair of markers that the file has.

    Raises MarkerError if it has no pair, half a pair, or a marker twice.
    """
    whole, found = path.read_text(encoding="utf-8"), False
    for name, text in texts.items():
        begin, end = f"<!-- {name}:{scale} -->", f"<!-- /{name}:{scale} -->"
        if begin not in whole and end not in whole:
            continue
        if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
            raise MarkerError(f"{path} needs the lines {begin} and {end} once, in this order, where the table belongs")
        before, rest = whole.split(begin)
        whole, found = f"{before}{begin}\n{text}{end}{rest.split(end)[1]}", True
    if not found:
        names = " or ".join(f"<!-- {name}:{scale} --> and <!-- /{name}:{scale} -->" for name in texts)
        raise MarkerError(f"{path} needs the lines {names} where the tables belong")
    write_text(path, whole)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m release.results", description="Results of a scale, from its records."
    )
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--scale", required=True)
    parser.add_argument(
        "--write", type=Path, nargs="+", metavar="FILE", help="write them between the markers of these files"
    )
    given = parser.parse_args(arguments)
    try:
        texts = render(given.store.absolute(), given.scale)
        for path in given.write or ():
            write(path, given.scale, texts)
        if not given.write:
            print(*texts.values(), sep="\n", end="")
    except (lineage.LineageError, section.MissingFigureError, MarkerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
