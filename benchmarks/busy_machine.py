"""What one busy core beside the run costs, and what the settings against it cost on an idle machine.

    python -m benchmarks.busy_machine                # every setting, idle and beside a busy process
    python -m benchmarks.busy_machine --settings none active --rounds 5

Work: generation and training steps of the model of scale scratch (2.4M parameters) and of a model of 30M, each with all cores.
Every round measures every setting once, idle and busy side by side, so that a slow moment of the machine meets all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from orchestration.launchers import ALLOCATOR
from orchestration.store import CHECKOUT

WORKS = ("generate", "train", "generate 30M", "train 30M")
# Environments to compare.
SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "active": {"OMP_WAIT_POLICY": "active"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin 1k": {"GOMP_SPINCOUNT": "1000"},
    "spin 10k": {"GOMP_SPINCOUNT": "10000"},
    "spin 100k": {"GOMP_SPINCOUNT": "100000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def work(name: str, seconds: float) -> float:
    """Tokens a second of one kind of work, after a second of warming up."""
    import torch

    from modeling.core.recipes import SamplingRecipe
    from modeling.core.runtime import autocast, device
    from modeling.core.sampling import generate_ids
    from modeling.pretraining.model import build
    from modeling.pretraining.tokenizer import train as train_tokenizer
    from orchestration import scales

    recipe = scales.scale("scratch").base
    shape = recipe.model
    if name.endswith("30M"):
        shape = replace(shape, layers=8, hidden=512, heads=8, kv_heads=2, ffn=1376)
    tokenizer = train_tokenizer([(CHECKOUT / "README.md").read_text()] * 3, 1000)
    model = build(replace(shape, vocab_size=len(tokenizer)), tokenizer, seed=0)
    if name.startswith("generate"):
        prompts = [list(range(10, 30))] * 64
        sampling = SamplingRecipe(temperature=1.0, top_p=0.95, max_new_tokens=32, seed=0)

        def step(number: int) -> int:
            rows = generate_ids(model, tokenizer, prompts, sampling, 1, number)
            return sum(len(row[0]) for row in rows)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        ids = torch.randint(0, len(tokenizer), (4, shape.context))

        def step(number: int) -> int:
            with autocast(device()):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return ids.numel()

    begin = time.perf_counter()
    number = done = 0
    counted_from = None
    while counted_from is None or time.perf_counter() - counted_from < seconds:
        done += step(number)
        number += 1
        if counted_from is None and time.perf_counter() - begin > 1:
            counted_from, done = time.perf_counter(), 0
    return done / (time.perf_counter() - counted_from)


def measure(name: str, settings: dict[str, str], seconds: float, nice: int | None) -> float:
    """The same in a process of its own under `settings`. `nice`: the priority of a busy process beside it; None for none."""
    dropped = {variable for each in SETTINGS.values() for variable in each}
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    other = (
        subprocess.Popen(["nice", "-n", str(nice), sys.executable, "-c", "while True: pass"])
        if nice is not None
        else None
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.busy_machine", "--work", name, "--seconds", str(seconds)],
            env={**environment, **ALLOCATOR, **settings}, cwd=CHECKOUT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="a measurement")
    parser.add_argument("--nice", type=int, default=19, help="priority of the busy process (default: 19)")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.seconds)))
        return
    speeds: dict[tuple[str, str, bool], list[float]] = {}
    for _ in range(options.rounds):
        for name in options.works:
            for setting in options.settings:
                for busy in (False, True):
                    speed = measure(name, SETTINGS[setting], options.seconds, options.nice if busy else None)
                    speeds.setdefault((name, setting, busy), []).append(speed)
    print("| work | setting | idle, tokens/s | beside a busy process | slower by | idle against none |")
    print("|---|---|---|---|---|---|")
    for name in options.works:
        best = {s: [statistics.median(speeds[name, s, busy]) for busy in (False, True)] for s in options.settings}
        for setting, (idle, beside) in best.items():
            against = f"{idle / best['none'][0]:.3f}" if "none" in best else ""
            print(
                f"| {name} | {setting} | {idle:,.0f} | {beside:,.0f} | {idle / beside:.2f}× | {against} |", flush=True
            )


if __name__ == "__main__":
    main()
