"""What the paper says of its own training: tokens (Table 1), GPU hours, power and carbon (Table 2)."""

from dataclasses import dataclass

from modeling.core.carbon import kg_co2e


@dataclass(frozen=True)
class Row:
    """A row of Table 2."""

    gpu_hours: int  # on A100 of 80 GB
    watts: float  # of one GPU
    tonnes_co2e: float


TABLE_2 = {
    "7b": Row(184_320, 400.0, 31.22),
    "13b": Row(368_640, 400.0, 62.44),
    "34b": Row(1_038_336, 350.0, 153.90),
    "70b": Row(1_720_320, 400.0, 291.42),
}
TOTAL_GPU_HOURS, TOTAL_TONNES = 3_311_616, 539.00
TOKENS = 2.0e12  # Table 1, of every model


def tonnes_co2e(gpu_hours: float, watts: float) -> float:
    """Returns t CO2e by the paper's formula: GPU hours × power × PUE 1.1 × 0.385 kg/kWh (section 2.2.1)."""
    return kg_co2e(gpu_hours * watts / 1000) / 1000


def mfu(row: Row, flops_per_token: float, peak_flops: float) -> float:
    """Returns the model FLOPs utilization that a row of Table 2 implies for Table 1's tokens."""
    return TOKENS * flops_per_token / (row.gpu_hours * 3600 * peak_flops)
