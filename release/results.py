"""The README's table of results, from the records of a scale.

`python -m release.results --store store --scale laptop` prints it; `--write README.md` puts it between the lines
`<!-- results:laptop -->` and `<!-- /results:laptop -->` of that file.
"""

import argparse
import os
import sys
from pathlib import Path

from release import figures, lineage

EVALUATIONS = ("bits_per_byte", "benchmark_scores", "reward_report", "win_rates", "temperature_curve", "safety_rates")


class MarkerError(ValueError):
    """The file has no place for the table."""


def read(store: Path, scale: str) -> tuple[dict[str, lineage.Artifact], lineage.Lineage]:
    """Every evaluation of the scale and all they were made from. Raises LineageError where one was not made."""
    missing = [name for name in EVALUATIONS if not (store / scale / name / lineage.RECORD).is_file()]
    if missing:
        raise lineage.LineageError(
            f"{store / scale} has no {', '.join(missing)}: materialize them first (make run SCALE={scale})"
        )
    found = {name: lineage.read(store / scale / name) for name in EVALUATIONS}
    chain = lineage.walk(found.values(), lineage.store_lookup(store))
    if chain.replaced:
        raise lineage.LineageError("these numbers are not of one run, materialize again: " + "; ".join(chain.replaced))
    return found | figures.last_rejection(chain), chain


def render(store: Path, scale: str) -> str:
    """All sections as Markdown."""
    found, chain = read(store, scale)
    parts = [figures.as_markdown(section, marked=True) for section in figures.sections(found)]
    parts.append(figures.as_markdown(figures.cost(chain), marked=False))
    parts.append(
        f"Code: {commits(chain)}. Twelve digits in backticks are the fingerprint of the record behind a table.\n"
    )
    return "\n".join(parts)


def commits(chain: lineage.Lineage) -> str:
    return ", ".join(dict.fromkeys(lineage.commit_of(artifact.record) for artifact in chain.artifacts))


def write(path: Path, scale: str, text: str) -> None:
    """Replaces what lies between the markers. Raises MarkerError unless each is there once, in order."""
    begin, end = f"<!-- results:{scale} -->", f"<!-- /results:{scale} -->"
    whole = path.read_text(encoding="utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise MarkerError(f"{path} needs the lines {begin} and {end} once, in this order, where the table belongs")
    before, rest = whole.split(begin)
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")
    os.replace(scratch, path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m release.results", description="Results of a scale, from its records."
    )
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--scale", required=True)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put it between the markers of this file")
    given = parser.parse_args(arguments)
    try:
        text = render(given.store.absolute(), given.scale)
        if given.write:
            write(given.write, given.scale, text)
        else:
            print(text, end="")
    except (lineage.LineageError, figures.MissingFigureError, MarkerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
