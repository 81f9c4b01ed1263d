"""Measures training, generation and RLHF on a bare GPU machine without a network.

python -m benchmarks.gpu_kit pack .kit                      # here: wheels, and inputs from the clean corpus
python3 -m benchmarks.gpu_kit run .kit --out results        # there, in the checkout: results.jsonl and results.md
python -m benchmarks.gpu_kit table results/results.jsonl    # the table again
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu_kit import table


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_kit", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="make the kit")
    packing.add_argument("kit", type=Path)
    packing.add_argument("--limit-mb", type=float, default=50, help="limit for kit and checkout together (default: 50)")
    packing.add_argument("--python", default="3.12", help="Python version of the GPU machine (default: 3.12)")
    running = commands.add_parser("run", help="measure everything on this machine")
    part = commands.add_parser("part", help="measure one part in this process (used by run)")
    part.add_argument("name")
    for command in (running, part):
        command.add_argument("kit", type=Path)
        command.add_argument("--out", type=Path, required=True, help="folder of results.jsonl and results.md")
        command.add_argument("--work", type=Path, help="folder of models and packages (default: a temporary one)")
        command.add_argument("--dry", action="store_true", help="test the kit on a CPU: scale tiny, a few seconds")
        command.add_argument(
            "--seconds", type=float, default=90, help="seconds of pretraining, a third of them compiled (default: 90)"
        )
    running.add_argument("--deadline", type=float, default=500, help="seconds for all parts (default: 500)")
    running.add_argument("--parts", default="", help="comma-separated; default: all")
    tabling = commands.add_parser("table", help="render results.jsonl as Markdown")
    tabling.add_argument("results", type=Path)
    options = parser.parse_args()
    if options.command == "table":
        print(table.render(table.read(options.results)))
    elif options.command == "pack":
        from benchmarks.gpu_kit.pack import pack

        try:
            pack(options.kit.absolute(), int(options.limit_mb * 1e6), options.python)
        except ValueError as error:
            sys.exit(str(error))
    else:
        options.work = (options.work or Path(tempfile.mkdtemp(prefix="gpu_kit_"))).absolute()
        options.kit, options.out = options.kit.absolute(), options.out.absolute()
        if options.command == "part":
            from benchmarks.gpu_kit.parts import measure

            measure(options)
        else:
            from benchmarks.gpu_kit.run import run

            run(options)


if __name__ == "__main__":
    main()
