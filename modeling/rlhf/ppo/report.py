"""Reports of a PPO run: iterations.jsonl, plots/ppo.png, examples.md and its metrics."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeling.core import json_text, reporting
from modeling.rlhf.ppo.rollout import Prompt
from modeling.rlhf.ppo.state import Progress
from modeling.rlhf.recipes import PpoRecipe

EXAMPLES = 24
INK, ORANGE, GREY = "#1f4e79", "#c55a11", "#8a8a8a"


def write(out: Path, progress: Progress, heldout: list[Prompt], recipe: PpoRecipe) -> None:
    """Write all reports. None depends on the clock, so an interrupted run writes the same bytes."""
    reporting.write_text(out / "iterations.jsonl", json_text.lines(progress.history))
    reporting.write_text(out / "examples.md", examples(progress, heldout))
    plot(out / "plots" / "ppo.png", progress, recipe)


def summary(progress: Progress, recipe: PpoRecipe) -> dict[str, float | int | str | bool]:
    """Metrics of the stage: the released policy compared with the one PPO began with, on held-out prompts."""
    first, best = progress.history[0], progress.best_row()
    metrics: dict[str, float | int | str | bool] = {
        "iterations": progress.iteration,
        "best_iteration": progress.best,
        "released": f"weights of iteration {progress.best}, the best of {progress.iteration} on held-out prompts",
        "stopped_early": progress.iteration < recipe.iterations,
        "evaluations_vetoed": sum(bool(row.get("heldout_veto")) for row in progress.history),
    }
    for name in ("reward", "helpfulness", "safety", "length", "truncated", "faulty", "refused"):
        metrics[f"heldout_{name}_before"] = first[f"heldout_{name}"]
        metrics[f"heldout_{name}_after"] = best[f"heldout_{name}"]
    metrics["heldout_kl_after"] = best["heldout_kl"]
    metrics["heldout_objective_after"] = best["heldout_objective"]  # before: 0 less the penalty for truncation
    return metrics


def examples(progress: Progress, heldout: list[Prompt]) -> str:
    """examples.md: held-out prompts with the answers before PPO and of the released policy."""
    lines = [f"# Held-out answers before PPO and after iteration {progress.best}", ""]
    rows = zip(heldout[:EXAMPLES], progress.first_texts, progress.best_texts, strict=False)
    for prompt, before, after in rows:
        kind = "safety" if prompt.safety else "helpfulness"
        lines += [f"## {kind}", "", reporting.quoted_prompt(prompt.messages), ""]
        lines += ["**Before**", "", reporting.quoted(before), "", "**After**", "", reporting.quoted(after), ""]
    return "\n".join(lines)


def plot(path: Path, progress: Progress, recipe: PpoRecipe) -> None:
    """Reward, KL, entropy and length over iterations: rollouts as lines, held-out evaluations as dots."""
    rollouts = [row for row in progress.history if "reward" in row]
    evaluations = [row for row in progress.history if "heldout_reward" in row]
    figure = Figure(figsize=(9.0, 6.4), layout="constrained")
    panels = figure.subplots(2, 2).flatten()
    _panel(panels[0], rollouts, evaluations, "reward", "Reward: LOGIT(R_c), mean", progress.best)
    _panel(panels[1], rollouts, evaluations, "kl", "KL to the first policy (nats a response)", progress.best)
    _panel(panels[2], rollouts, [], "entropy", "Entropy (nats a token)", progress.best)
    _panel(panels[3], rollouts, evaluations, "length", "Response length (tokens)", progress.best)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(
        f"PPO: batch {recipe.batch}, KL weight {recipe.beta:g}; released: iteration {progress.best}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    reporting.save_figure(figure, path)


def _panel(axes: Axes, rollouts: list[dict], evaluations: list[dict], name: str, title: str, best: int) -> None:
    steps, values = [row["iteration"] for row in rollouts], [row[name] for row in rollouts]
    axes.plot(steps, values, color=INK, linewidth=1.4, label="rollouts")
    axes.plot(
        [row["iteration"] for row in evaluations],
        [row[f"heldout_{name}"] for row in evaluations],
        color=ORANGE,
        marker="o",
        markersize=4,
        linewidth=1.0,
        label="held-out prompts",
    )
    axes.axvline(best, color=GREY, linewidth=0.9, linestyle=":")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("iteration", fontsize=9)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
