"""GPUs by name: memory, bandwidth, power and peak FLOP/s from the vendor's data sheets."""

from dataclasses import dataclass

from modeling.pretraining.pretrain import PEAK_FLOPS


@dataclass(frozen=True)
class Device:
    name: str
    flops: float  # dense bfloat16 FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s of its memory
    watts: float  # thermal design power


# The SXM modules. The paper trained on A100 of 80 GB at 400 W (Table 2; 350 W for 34B).
DEVICES = {
    device.name: device
    for device in (
        Device("A100", PEAK_FLOPS["A100"], memory=80e9, bandwidth=2.039e12, watts=400.0),
        Device("H100", PEAK_FLOPS["H100"], memory=80e9, bandwidth=3.35e12, watts=700.0),
        Device("H200", PEAK_FLOPS["H200"], memory=141e9, bandwidth=4.8e12, watts=700.0),
    )
}


def device(name: str) -> Device:
    """Returns the device of that name. Raises ValueError, which lists the known ones, for another."""
    if name not in DEVICES:
        raise ValueError(f"no device {name!r}: use one of {', '.join(DEVICES)}")
    return DEVICES[name]
