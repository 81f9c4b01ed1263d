"""Gates: blocking checks that stop bad data and bad models. Each compares an artifact with its parents."""

from orchestration.factory import Gate

GATES: list[Gate] = []
