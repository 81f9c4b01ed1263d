"""The toy stage as other code that writes the same bytes."""

from tests.orchestration import toy


def run(config, inputs, out, log) -> dict:
    return toy.run(config, inputs, out, log)
