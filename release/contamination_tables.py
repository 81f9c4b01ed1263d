"""Contamination of benchmark questions by the training tokens, and the scores that it raised (paper A.6, Table 51)."""

from modeling.evaluation.benchmark_tasks import MODELS
from release.lineage import Artifact
from release.section import Section, metric

HEAD = ("Benchmark", "Questions", "Contaminated tokens", "Questions with some", "Not clean", "Dirty", "Scores raised")


def contamination(artifact: Artifact) -> Section:
    """A row per benchmark: how many questions are contaminated, and which models' scores that raised."""
    rows = []
    for row in metric(artifact, "overview"):
        raised = ", ".join(f"{MODELS[role]} (L = {least})" for role, least in row["affected"].items())
        counts = (row[name] for name in ("contaminated", "not_clean", "dirty"))
        percent = f"{row['contaminated_tokens_percent']:.2f} %"
        rows.append((row["benchmark"], row["questions"], percent, *counts, raised or "none"))
    none = "For no score and no L are all four subsets significant."
    note = (
        f"A token is contaminated if it lies in a span of more than ten tokens that the "
        f"{metric(artifact, 'training_tokens'):,} training tokens contain too; after the first ten, four may differ. A "
        "question is not clean from 20 % of its tokens on, and dirty from 80 % on. Contamination raised a score if |Z| > 2 "
        "in all four subsets, Clean being worse and Dirty better than the others. "
        f"{'The next table shows these subsets.' if metric(artifact, 'rows') else none}"
    )
    return Section("Contamination of the benchmarks", artifact, HEAD, rows, note)


def raised_scores(artifact: Artifact) -> Section:
    """Table 51: four subsets of each affected benchmark and model, at the largest L that is affected."""
    rows = [
        (row["benchmark"], row["least_length"], MODELS[row["model"]], row["subset"], f"{100 * row['contamination']:.1f} %",
         row["questions"], f"{100 * row['score']:.1f} %", f"{100 * row['expected']:.1f} %", f"{row['z']:.2f}")
        for row in metric(artifact, "rows")
    ]  # fmt: skip
    head = ("Benchmark", "L", "Model", "Subset", "Mean contamination", "n", "Score", "Expected", "Z")
    note = (
        "L: tokens of the shortest span that counts. Z: the distance of the score from the expected one, in standard errors "
        "of a sample of n questions. A checkpoint has not read these training tokens."
    )
    return Section("Scores that contamination raised", artifact, head, rows, note)


READERS = (("benchmark_contamination", contamination), ("benchmark_contamination", raised_scores))
