"""Pictures of reward model scores: by version (paper Figure 20), and before against after RLHF (Figure 14)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from modeling.evaluation.judge.probe import sigmoid

PANELS = (("helpfulness", "helpfulness reward, helpfulness prompts"), ("safety", "safety reward, adversarial prompts"))
BINS = 24


def by_version(scored: dict[str, list[dict]]) -> Figure:
    """One histogram a version (share of its answers by probability of the reward model), the first version on top.

    `scored`: version → rows of scored_answers. Controls are left out.
    """
    versions = [name for name, rows in scored.items() if not rows[0]["control"]]
    figure = Figure(figsize=(9.5, 0.75 * len(versions) + 1.2), layout="constrained")
    panels = figure.subplots(len(versions), len(PANELS), sharex=True, sharey="col", squeeze=False)
    edges = np.linspace(0, 1, BINS + 1)
    for axes_P, name in zip(panels, versions, strict=True):
        for axes, (kind, _) in zip(axes_P, PANELS, strict=True):
            rewards_N = _probabilities(scored[name], kind)
            axes.hist(rewards_N, edges, weights=np.full(len(rewards_N), 1 / max(len(rewards_N), 1)), color="#1f5fa8")
            if len(rewards_N):
                axes.axvline(rewards_N.mean(), color="#c77d2e", linewidth=1.2)
            axes.set_yticks([])
            axes.spines[["top", "right", "left"]].set_visible(False)
        axes_P[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axes, (_, title) in zip(panels[0], PANELS, strict=True):
        axes.set_title(f"{title} (line: mean)", fontsize=9)
    return figure


def before_and_after(before: Sequence[dict], after: Sequence[dict]) -> Figure:
    """Each prompt as a point: the reward of its answer before (x) and after (y). Above the diagonal it rose.

    `before` and `after` are rows of scored_answers of two versions; prompts that one of them did not answer are left out.
    """
    figure = Figure(figsize=(8.4, 4.1), layout="constrained")
    for axes, (kind, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        old, new = ({row["prompt_id"]: row for row in rows if row["kind"] == kind} for rows in (before, after))
        both = [name for name in old if name in new]
        x_N, y_N = (_probabilities([rows[name] for name in both], kind) for rows in (old, new))
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        axes.scatter(x_N, y_N, s=9, alpha=0.5, color="#1f5fa8", edgecolors="none")
        axes.set_title(f"{title} (n = {len(both)})", fontsize=9)
        axes.set_xlabel(before[0]["version"])
        axes.set_ylabel(after[0]["version"])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _probabilities(rows: Sequence[dict], kind: str) -> np.ndarray:
    return sigmoid(np.array([row["reward"] for row in rows if row["kind"] == kind], dtype=float))
