"""Metrics of stages that the toy store does not run."""

import random

from modeling.evaluation import bits_per_byte
from modeling.rlhf import best_of_n


def bits_per_byte_metrics() -> dict:
    rows = [
        {
            "source": "wiki",
            "documents": 3,
            "bytes": 900,
            "bits_per_byte": 1.91,
            "xz": 2.4,
            "ppmd6": 2.05,
            "ppmd8": 2.07,
        },
        {
            "source": "bible",
            "documents": 1,
            "bytes": 100,
            "bits_per_byte": 1.5,
            "xz": 1.9,
            "ppmd6": 1.45,
            "ppmd8": 1.47,
        },
    ]
    return {**bits_per_byte.total(rows), "sources": 2, "sources_below_every_floor": 1, "by_source": rows}


def rejection_metrics() -> dict:
    draw = random.Random(2)
    return {"best_of_n": best_of_n.curve([[draw.gauss(0, 1) for _ in range(6)] for _ in range(5)])}


def ghost_metrics() -> dict:
    rows = [
        {"version": version, "constraints": group, "turn": turn, "given": given, "rate": 0.75 if given else 0.125,
         "low": 0.25, "high": 0.875, "dialogues": 8}
        for version in ("Base", "Chat") for group in ("trained", "new") for turn in (2, 4) for given in (True, False)
    ]  # fmt: skip
    return {"dialogues": 20, "rows": rows}


def benchmark_metrics() -> dict:
    row = {
        "benchmark": "boolq",
        "metric": "acc",
        "questions": 100,
        "shots": 0,
        "chance": 0.5,
        "paper_7b": 77.4,
        "note": "",
    }
    for name, accuracy in (("initial_model", 0.49), ("base_model", 0.55), ("chat_model", 0.65)):
        row |= {f"{name}_accuracy": accuracy}
    return {"questions": 100, "rows": [row]}


def contamination_metrics() -> dict:
    """One benchmark without evidence, and one whose score of the pretrained model is raised."""
    clean = {"benchmark": "boolq", "questions": 100, "contaminated_tokens_percent": 0.25, "contaminated": 3,
             "not_clean": 1, "dirty": 0, "affected": {}}  # fmt: skip
    raised = clean | {
        "benchmark": "piqa",
        "contaminated": 60,
        "not_clean": 50,
        "dirty": 40,
        "affected": {"base_model": 40},
    }
    shown = {"Clean": (50, 0.0, 0.3, -2.83), "Not clean": (50, 0.9, 0.7, 2.83),
             "Not dirty": (60, 0.05, 0.35, -2.32), "Dirty": (40, 0.95, 0.75, 3.16)}  # fmt: skip
    rows = [
        {"benchmark": "piqa", "least_length": 40, "model": "base_model", "subset": subset, "questions": count,
         "contamination": share, "score": score, "expected": 0.5, "z": z}
        for subset, (count, share, score, z) in shown.items()
    ]  # fmt: skip
    return {"training_tokens": 123_456, "overview": [clean, raised], "rows": rows}
