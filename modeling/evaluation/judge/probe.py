"""Logistic regression with an L2 penalty: small classifiers on top of frozen embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modeling.core.statistics import area_under_curve


@dataclass(frozen=True)
class Probe:
    """logit P(label = 1) = features · weights + bias."""

    weights: np.ndarray  # float64, one a feature
    bias: float

    def logits(self, features_NF: np.ndarray) -> np.ndarray:
        return np.asarray(features_NF, dtype=np.float64) @ self.weights + self.bias


def fit(features_NF: np.ndarray, labels_N: np.ndarray, penalty: float, steps: int = 50) -> Probe:
    """Minimise the log loss + penalty/2·‖weights‖² (bias free) by Newton's method, to convergence.

    Both classes weigh the same in total, so that logit 0 is the balance point whatever the share of positives.
    Raises ValueError where a class is missing.
    """
    x_NF = np.column_stack([np.asarray(features_NF, dtype=np.float64), np.ones(len(features_NF))])
    y_N = np.asarray(labels_N, dtype=np.float64)
    positives = y_N.sum()
    if positives == 0 or positives == len(y_N):
        raise ValueError("A probe needs examples of both classes")
    weight_N = np.where(y_N == 1, len(y_N) / (2 * positives), len(y_N) / (2 * (len(y_N) - positives)))
    ridge_F = np.full(x_NF.shape[1], penalty)
    ridge_F[-1] = 1e-6  # keeps the system solvable where the classes can be told apart perfectly
    theta_F = np.zeros(x_NF.shape[1])
    loss = _loss(x_NF, y_N, weight_N, ridge_F, theta_F)
    for _ in range(steps):
        p_N = sigmoid(x_NF @ theta_F)
        gradient_F = x_NF.T @ (weight_N * (p_N - y_N)) + ridge_F * theta_F
        hessian_FF = (x_NF * (weight_N * p_N * (1 - p_N))[:, None]).T @ x_NF + np.diag(ridge_F)
        step_F, scale = np.linalg.solve(hessian_FF, gradient_F), 1.0
        while (after := _loss(x_NF, y_N, weight_N, ridge_F, theta_F - scale * step_F)) > loss and scale > 1e-6:
            scale /= 2
        theta_F, gain, loss = theta_F - scale * step_F, loss - after, after
        if gain < 1e-9 * max(1.0, abs(loss)):
            break
    return Probe(theta_F[:-1], float(theta_F[-1]))


def cross_validated(
    features_NF: np.ndarray, labels_N: np.ndarray, groups: Sequence[int], penalty: float, folds: int = 5
) -> np.ndarray:
    """Logit of each example from a probe that saw no example of its group (the same prompt, say)."""
    labels_N, fold_N = np.asarray(labels_N), np.asarray(groups) % folds
    logits_N = np.empty(len(labels_N))
    for fold in range(folds):
        held_N = fold_N == fold
        if held_N.any():
            logits_N[held_N] = fit(features_NF[~held_N], labels_N[~held_N], penalty).logits(features_NF[held_N])
    return logits_N


def precision_recall(labels_N: np.ndarray, flagged_N: np.ndarray) -> tuple[float, float]:
    """Share of the flagged that are positive, share of the positives that are flagged; 0 where nothing counts."""
    hits = int((labels_N.astype(bool) & flagged_N).sum())
    return hits / max(int(flagged_N.sum()), 1), hits / max(int(labels_N.astype(bool).sum()), 1)


def quality(labels_N: np.ndarray, logits_N: np.ndarray) -> dict[str, float]:
    """Area under the curve, and precision, recall and false-positive rate at logit 0."""
    precision, recall = precision_recall(labels_N, logits_N > 0)
    negatives = ~labels_N.astype(bool)
    return {
        "auc": area_under_curve(labels_N, logits_N),
        "precision": precision,
        "recall": recall,
        "false_positive_rate": float((logits_N[negatives] > 0).mean()),
        "positives": int(labels_N.sum()),
        "negatives": int(negatives.sum()),
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))


def _loss(x_NF, y_N, weight_N, ridge_F, theta_F) -> float:
    z_N = x_NF @ theta_F
    return float((weight_N * (np.logaddexp(0, z_N) - y_N * z_N)).sum() + 0.5 * (ridge_F * theta_F**2).sum())
