"""Emissions as in the paper's Table 2."""

PUE = 1.1  # data-centre overhead and grid intensity that reproduce the paper's Table 2
KG_CO2E_PER_KWH = 0.385


def kg_co2e(kwh: float) -> float:
    """Returns kg CO2e for the energy drawn by devices in kWh, data-centre overhead (PUE) included."""
    return kwh * PUE * KG_CO2E_PER_KWH
