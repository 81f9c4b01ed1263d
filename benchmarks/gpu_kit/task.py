"""The part being measured: its folders and its results file."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_kit import table
from benchmarks.gpu_kit.workshop import Workshop


@dataclass(frozen=True)
class Task:
    """`say` writes a figure, `fact` a fact about the machine. Both are on disk when the call returns."""

    part: str
    shop: Workshop
    out: Path
    dry: bool  # a test on a CPU, seconds long
    seconds: float  # of pretraining

    @property
    def results(self) -> Path:
        return self.out / table.RESULTS

    def say(self, measure: str, value: float | str, unit: str = "", remark: str = "") -> None:
        shown = table.number(value)
        print(f"  {measure}: {shown} {unit} {remark}", flush=True)
        table.append(self.results, part=self.part, measure=measure, value=value, unit=unit, remark=remark)

    def fact(self, fact: str, value: str) -> None:
        print(f"  {fact}: {value}", flush=True)
        table.append(self.results, fact=fact, value=value)
