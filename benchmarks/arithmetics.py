"""The suite and the graph under several arithmetics: processors round matrix products differently, and nothing may hang on that.

    python -m benchmarks.arithmetics                          # all of them: the graph at scale tiny, then the tests on its store
    python -m benchmarks.arithmetics oldest --mark trains     # one of them, and of the tests those that train
    python -m benchmarks.arithmetics machine two-threads --only graph --scale laptop

Each has a store and a Dagster home of its own. Prints what passed, and how far each gate stood from its threshold under each.
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

# By the variables that make oneDNN and ATen compute as on an older processor. One that is newer than the machine changes nothing.
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
    """What one arithmetic did; None where a part was not asked for."""

    graph: bool | None
    suite: bool | None
    seconds: float
    verdicts: dict[str, dict]


def passes(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run([sys.executable, "-m", *command], cwd=CHECKOUT, env=environment).returncode == 0


def tried(name: str, folder: Path, scale: str, only: str | None, mark: str | None) -> Outcome:
    """Runs the graph and the tests in `folder` under one arithmetic; the tests read a graph of scale tiny that was run."""
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
        suite = passes(["pytest", *(["-m", mark] if mark else [])], environment | ready)
    return Outcome(graph, suite, time.monotonic() - started, verdicts(folder / "store"))


def verdicts(store: Path) -> dict[str, dict]:
    """What each gate said of its artifact, in the order of the graph."""
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
    """How far a gate stood from its threshold; nothing where it has none to stand from, or did not judge."""
    if verdict is None:
        return ""
    if "margin" not in verdict["figures"]:
        return shown(verdict["passed"])
    text = f"{verdict['figures']['margin']:+.3f}"
    return text if verdict["passed"] else f"**{text}**"


def report(outcomes: dict[str, Outcome]) -> str:
    """Markdown: what passed under which arithmetic, and the margins of the gates."""
    ran = [
        [name, " ".join(f"{k}={v}" for k, v in ARITHMETICS[name].items()), shown(one.graph), shown(one.suite),
         duration(one.seconds)]
        for name, one in outcomes.items()
    ]  # fmt: skip
    parts = [table(["Arithmetic", "Set", "Graph", "Suite", "Time"], ran)]
    gates = list(dict.fromkeys(gate for one in outcomes.values() for gate in one.verdicts))
    if gates:
        rows = [[gate, *(margin(one.verdicts.get(gate)) for one in outcomes.values())] for gate in gates]
        parts.append(table(["Margin of the gate", *outcomes], rows))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ARITHMETIC", help=", ".join(ARITHMETICS) + " (default: all)")
    parser.add_argument("--only", choices=["graph", "suite"])
    parser.add_argument("--scale", default="tiny", help="of the graph (default: tiny, on a small cut of the sources)")
    parser.add_argument("--mark", help="only the tests with this marker")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keeps the stores there, and continues those it holds"
    )
    chosen = parser.parse_args()
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
