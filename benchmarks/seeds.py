"""Runs a scale's alignment half at further seeds, and writes what its headline figures spread to into docs/seeds.md.

    python -m benchmarks.seeds laptop                # seeds 0, 1 and 2; 0 is the finished run of the store
    python -m benchmarks.seeds laptop --seeds 0,1

Each further seed has a store of its own, STORE/seeds/SCALE/N, which begins as hard links to the finished store. So it
makes only what CRIA_SEED draws anew (orchestration/scales/seeds.py). Stopped at any moment, the same command continues.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ablations.comparison import DIFFERS, UNKNOWN, Mean, mean
from data_cleaning.files import write_json
from data_cleaning.store_layout import UNPARTITIONED
from modeling.core import reporting
from modeling.evaluation.measures import CHECKS, JUDGE, OBEYED, RULE
from modeling.evaluation.versions import BASE, CHAT, SFT
from modeling.rlhf.ratings import store as ratings
from modeling.rlhf.ratings.database import ADDRESS
from orchestration import records
from orchestration.scales import SCALES
from orchestration.scales.seeds import VARIABLE
from orchestration.sources import snapshots
from orchestration.store import CHECKOUT, store
from release import lineage, results
from release.answer_tables import Rates
from release.section import metric
from release.summary import SHOWN

SEEDS = (0, 1, 2)
PAGE = CHECKOUT / "docs" / "seeds.md"
MARKER = "seeds"
HELPFUL = "helpfulness"
Figures = dict[tuple[str, str, str], float]  # (what, reader, version) → share
Runs = dict[int, Figures]  # by seed


class RunError(Exception):
    """A run of the graph failed; it has said why."""


def seeds(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers, for example 0,1,2")
    return sorted({int(part) for part in text.split(",")})


def place(scale: str, seed: int) -> Path:
    """Returns the store of a seed."""
    return store() / "seeds" / scale / str(seed) / "store" if seed else store()


def begin(scale: str, seed: int) -> Path:
    """Returns the store of a seed. A new one has hard links to what the finished store holds of the scale."""
    own = place(scale, seed)
    if seed and not own.exists():
        unfinished = own.with_name(".store")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name in (UNPARTITIONED, scale, *snapshots()):  # artifacts are replaced as a whole, never written to
            if (store() / name).is_dir():
                shutil.copytree(store() / name, unfinished / name, copy_function=os.link)
        unfinished.rename(own)
    return own


def make(scale: str, seed: int, own: Path) -> None:
    """Runs the graph in the store of a seed. Raises RunError if it fails."""
    environment = {**os.environ, "CRIA_STORE": str(own), "DAGSTER_HOME": str(own.with_name("dagster")),
                   ADDRESS: ratings.Store.here().address, VARIABLE: str(seed)}  # fmt: skip
    if subprocess.run([sys.executable, "-m", "orchestration.run", scale], cwd=CHECKOUT, env=environment).returncode:
        raise RunError(f"the run of seed {seed} failed; the same command continues it")


def measured(own: Path, scale: str) -> Figures:
    """Returns the headline figures of a finished run. Raises LineageError if an evaluation is missing."""
    found, _ = results.read(own, scale)
    rates = Rates(found["answer_rates"])
    figures = {}
    named = [*SHOWN, (OBEYED, "verifiable", "Verifiable requests obeyed")]
    for measure, on, what in named:
        for reader in (JUDGE, RULE, CHECKS):
            for version in (BASE, SFT, CHAT):
                if (measure, on, reader, version) in rates.found:
                    figures[what, reader, version] = rates.found[measure, on, reader, version]["rate"]
    for row in metric(found["win_rates"], "rows"):
        if row["axis"] == HELPFUL and row["against"] == BASE and row["version"] in (SFT, CHAT):
            figures[f"Helpfulness win rate against {BASE}", row["judge"], row["version"]] = row["win_rate"]
    return figures


def rows(runs: Runs) -> Iterator[list[str]]:
    """Yields a row for each figure: Base, SFT, Chat at each seed, Chat's mean, and its difference from SFT."""
    for what, reader in dict.fromkeys(key[:2] for figures in runs.values() for key in figures):

        def values(version: str, what: str = what, reader: str = reader) -> list[float]:
            return [figures[what, reader, version] for figures in runs.values()]

        base = values(BASE)[0] if all((what, reader, BASE) in figures for figures in runs.values()) else None
        sft, chat = values(SFT), values(CHAT)
        gain = mean([after - before for before, after in zip(sft, chat, strict=True)])
        yield [
            f"{what}, {reader}",
            "–" if base is None else share(base),
            spread(mean(sft)),
            ", ".join(share(value) for value in chat),
            spread(mean(chat)),
            f"{spread(gain, '+')}: {gain.verdict if gain.verdict in (DIFFERS, UNKNOWN) else 'may be chance'}",
        ]


def share(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"


def spread(found: Mean, sign: str = "") -> str:
    """A mean in per cent with its interval."""
    low_high = f" ({' to '.join(share(end, sign) for end in found.interval)})" if found.interval else ""
    return f"{share(found.value, sign)}{low_high}"


def render(runs: Runs) -> str:
    """Returns Markdown: the table of all runs."""
    if not runs:
        return "\nNo run is recorded yet.\n\n"
    numbers = ", ".join(str(seed) for seed in runs)
    head = ("Per cent", BASE, f"{SFT}, mean", f"{CHAT}, seeds {numbers}", f"{CHAT}, mean", f"{CHAT} − {SFT}")
    return f"\n{reporting.table(head, list(rows(runs)))}\n"


def recorded(scale: str) -> Runs:
    """Returns the figures of all runs that have a record, by seed."""
    folder = store() / "seeds" / scale
    found = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")), key=lambda one: one["seed"]
    )
    return {one["seed"]: {tuple(key): value for *key, value in one["figures"]} for one in found}


def record(scale: str, seed: int, figures: Figures) -> None:
    made = {"seed": seed, "git": records.git_state(), "figures": [[*key, value] for key, value in figures.items()]}
    folder = store() / "seeds" / scale
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{seed}.json", made)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seeds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scale", choices=list(SCALES), metavar="SCALE", help="whose finished store the runs go on from")
    parser.add_argument("--seeds", type=seeds, default=list(SEEDS), metavar="N,…", help="default: 0,1,2")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="default: docs/seeds.md")
    given = parser.parse_args(arguments)
    try:
        results.read(store(), given.scale)  # says before any run what is missing
        for seed in (None, *given.seeds):
            if seed is not None:
                own = begin(given.scale, seed)
                if seed:
                    make(given.scale, seed, own)
                record(given.scale, seed, measured(own, given.scale))
            results.write(given.page, given.scale, {MARKER: render(recorded(given.scale))})
    except (lineage.LineageError, results.MarkerError, RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
