"""Runs the graph and the test suite under several arithmetics.

Processors round matrix products differently, and no result of a test or gate may depend on that.

    python -m benchmarks.arithmetics                          # all: the graph at scale tiny, then the tests
    python -m benchmarks.arithmetics oldest --mark trains     # one arithmetic, only the tests that train
    python -m benchmarks.arithmetics machine two-threads --only graph --scale laptop
    python -m benchmarks.arithmetics --margins store          # runs nothing: the margins in finished stores

Each arithmetic has its own store and Dagster home. Prints what passed and the margin of each gate.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from assets.gates import GATES
from orchestration.console import duration
from orchestration.store import CHECKOUT

TESTS = ("pytest", "-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")
# These variables make oneDNN and ATen compute as on an older processor. A newer one than the machine's has no effect.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
ARITHMETICS = {
    "machine": {},
    "one-thread": ONE_THREAD,
    "two-threads": {"OMP_NUM_THREADS": "2"},
    "bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", **ONE_THREAD},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx2", **ONE_THREAD},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "oldest": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default"},
}


@dataclass(frozen=True)
class Outcome:
    """Result of one arithmetic; None for a part that was not requested."""

    graph: bool | None
    suite: bool | None
    seconds: float
    verdicts: dict[str, dict]


def passes(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run([sys.executable, "-m", *command], cwd=CHECKOUT, env=environment).returncode == 0


def tried(name: str, folder: Path, scale: str, only: str | None, mark: str | None) -> Outcome:
    """Runs the graph and the tests in `folder` under one arithmetic. The tests reuse a graph run at scale tiny."""
    started = time.monotonic()
    graph = suite = None
    environment = {**os.environ, **ARITHMETICS[name]}
    if only != "suite":
        own = {"CRIA_STORE": str(folder / "store"), "DAGSTER_HOME": str(folder / "dagster")}
        if scale == "tiny":
            own["CRIA_SOURCES"] = "tests/sources.toml"
        graph = passes(["orchestration.run", scale], environment | own)
    if only != "graph":
        ready = {"CRIA_TEST_STORE": str(folder)} if graph and scale == "tiny" else {}
        suite = passes([*TESTS, *(["-m", mark] if mark else [])], environment | ready)
    return Outcome(graph, suite, time.monotonic() - started, verdicts(folder / "store"))


def verdicts(store: Path) -> dict[str, dict]:
    """Returns "stage: gate" → verdict, in the order of the graph."""
    found = {}
    for gate in GATES:
        for path in sorted(store.glob(f"*/{gate.stage.key}.gates.json")):
            said = json.loads(path.read_text(encoding="utf-8"))
            if gate.name in said:
                found[f"{gate.stage.key}: {gate.name}"] = said[gate.name]
    return found


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def shown(passed: bool | None) -> str:
    return {None: "", True: "passed", False: "**FAILED**"}[passed]


def margin(verdict: dict | None) -> str:
    """Formats the margin to the threshold; passed or failed for a gate without a margin, "" if it did not run."""
    if verdict is None:
        return ""
    if "margin" not in verdict["figures"]:
        return shown(verdict["passed"])
    text = f"{verdict['figures']['margin']:+.3f}"
    return text if verdict["passed"] else f"**{text}**"


def report(outcomes: dict[str, Outcome]) -> str:
    """Returns Markdown: what passed under each arithmetic, and the margins of the gates."""
    ran = [
        [name, " ".join(f"{k}={v}" for k, v in ARITHMETICS[name].items()), shown(one.graph), shown(one.suite),
         duration(one.seconds)]
        for name, one in outcomes.items()
    ]  # fmt: skip
    ran_table = table(["Arithmetic", "Set", "Graph", "Suite", "Time"], ran)
    return f"{ran_table}\n\n{margins({name: one.verdicts for name, one in outcomes.items()})}".rstrip()


def margins(runs: dict[str, dict[str, dict]]) -> str:
    """Returns Markdown: a row for each gate, a column for each run; "" without any verdict."""
    gates = list(dict.fromkeys(gate for run in runs.values() for gate in run))
    rows = [[gate, *(margin(run.get(gate)) for run in runs.values())] for gate in gates]
    return table(["Margin of the gate", *runs], rows) if rows else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ARITHMETIC", help=", ".join(ARITHMETICS) + " (default: all)")
    parser.add_argument("--only", choices=["graph", "suite"])
    parser.add_argument("--scale", default="tiny", help="of the graph (default: tiny, on a small cut of the sources)")
    parser.add_argument("--mark", help="only the tests with this marker")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keeps the stores there, and continues those it holds"
    )
    parser.add_argument(
        "--margins", type=Path, nargs="+", metavar="STORE", help="runs nothing: margins in these stores"
    )
    chosen = parser.parse_args()
    if chosen.margins:
        print(margins({str(store): verdicts(store) for store in chosen.margins}))
        return
    if unknown := set(chosen.names) - ARITHMETICS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(ARITHMETICS)}")
    outcomes = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen.names or ARITHMETICS:
            print(f"\n=== {name} ===", flush=True)
            folder = (chosen.keep or Path(temporary)).absolute() / name
            outcomes[name] = tried(name, folder, chosen.scale, chosen.only, chosen.mark)
    print("\n" + report(outcomes))
    sys.exit(any(False in (one.graph, one.suite) for one in outcomes.values()))


if __name__ == "__main__":
    main()
