"""The paper's Table 2 comes out of its GPU hours, and the hours of an MFU out of the FLOPs."""

import pytest

from modeling.planning.arithmetic import training_flops
from modeling.planning.devices import device
from modeling.planning.published import TABLE_2, TOKENS, TOTAL_GPU_HOURS, TOTAL_TONNES, mfu, tonnes_co2e
from orchestration.scales import scale


@pytest.mark.parametrize("name", TABLE_2)
def test_a_row_comes_out_of_its_hours_and_power(name):
    row = TABLE_2[name]
    assert tonnes_co2e(row.gpu_hours, row.watts) == pytest.approx(row.tonnes_co2e, abs=0.02)


def test_the_totals_come_out():
    assert sum(row.gpu_hours for row in TABLE_2.values()) == TOTAL_GPU_HOURS
    whole = sum(tonnes_co2e(row.gpu_hours, row.watts) for row in TABLE_2.values())
    assert whole == pytest.approx(TOTAL_TONNES, abs=0.05)


def test_the_implied_mfu_gives_the_hours_back():
    flops, peak = training_flops(scale("7b").base.model, 4096), device("A100").flops
    implied = mfu(TABLE_2["7b"], flops, peak)
    assert 0.35 < implied < 0.5
    assert TOKENS * flops / (peak * implied) / 3600 == pytest.approx(184_320)


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="no device 'V100': use one of A100, H100, H200"):
        device("V100")
