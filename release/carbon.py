"""Emissions as in the paper's Table 2."""

PUE = 1.1  # data-centre overhead and grid intensity that reproduce the paper's Table 2
KG_CO2E_PER_KWH = 0.385


def kg_co2e(kwh: float) -> float:
    """kg CO2e of the energy that devices drew, the data centre's overhead included."""
    return kwh * PUE * KG_CO2E_PER_KWH
