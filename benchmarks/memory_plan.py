"""One step of the paper's scales at full size on fake tensors: what torch's tracker counts on one device.

`python -m benchmarks.memory_plan docs/scales.jsonl` writes the rows that docs/scales.md shows beside the plans; rows that
are in the file stay. It needs no GPU, and about a minute for a 7B model on one core, three for a 70B one.
"""

import json
import sys
from pathlib import Path

from data_cleaning.files import write_text
from modeling.planning.memory import micro_batch
from modeling.planning.simulation import simulate
from orchestration import scales

# (scale, devices, whether a layer's activations are computed again in the backward pass)
CASES = (
    ("7b", 8, True),
    ("7b", 64, True),
    ("7b", 512, False),
    ("13b", 8, True),
    ("34b", 64, True),
    ("70b", 64, True),
    ("70b", 512, True),
)


def row(name: str, devices: int, recompute: bool) -> dict:
    """Returns the bytes of a case: weights, gradients and moments together, and the peak."""
    base = scales.scale(name).base
    context = base.model.context
    sequences = micro_batch(base.batch_tokens // context // devices, context)
    tracked = simulate(base.model, devices, sequences, recompute)
    case = {"scale": name, "devices": devices, "sequences": sequences, "recompute": recompute}
    return case | {"states": sum(tracked.states.values()), "peak": tracked.total}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.memory_plan FILE.jsonl")
    path = Path(sys.argv[1])
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    for case in CASES:
        if case not in [(one["scale"], one["devices"], one["recompute"]) for one in rows]:
            rows.append(row(*case))
            print(rows[-1], flush=True)
            write_text(path, "".join(json.dumps(one) + "\n" for one in rows))


if __name__ == "__main__":
    main()
