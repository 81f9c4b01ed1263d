"""Logistic regression with an L2 penalty (scikit-learn) on frozen embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict


@dataclass(frozen=True)
class Probe:
    """logit P(label = 1) = features · weights + bias."""

    weights: np.ndarray  # float64, one per feature
    bias: float

    def logits(self, features_NF: np.ndarray) -> np.ndarray:
        return np.asarray(features_NF, dtype=np.float64) @ self.weights + self.bias


def fit(features_NF: np.ndarray, labels_N: np.ndarray, penalty: float, weights_N: np.ndarray | None = None) -> Probe:
    """Minimises log loss + penalty/2·‖weights‖² to convergence; the bias has no penalty.

    Both classes have the same total weight, so the decision threshold is logit 0 for any share of positives.
    `weights_N` weighs the examples within their class. Raises ValueError if a class is missing.
    """
    features_NF = np.asarray(features_NF, dtype=np.float64)
    fitted = _regression(penalty).fit(features_NF, labels_N, sample_weight=_balanced(labels_N, weights_N))
    return Probe(fitted.coef_[0], float(fitted.intercept_[0]))


def cross_validated(
    features_NF: np.ndarray,
    labels_N: np.ndarray,
    groups: Sequence[int],
    penalty: float,
    folds: int = 5,
    weights_N: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the out-of-fold logit of each example. A group, such as one prompt, is in one fold only."""
    split = PredefinedSplit(np.asarray(groups) % folds)
    features_NF = np.asarray(features_NF, dtype=np.float64)
    params = {"sample_weight": _balanced(labels_N, weights_N)}
    return cross_val_predict(
        _regression(penalty), features_NF, labels_N, cv=split, method="decision_function", params=params
    )


def _balanced(labels_N: np.ndarray, weights_N: np.ndarray | None) -> np.ndarray | None:
    """Weights with a mean of 1 in each class."""
    if weights_N is None:
        return None
    labels_N, weights_N = np.asarray(labels_N, dtype=bool), np.asarray(weights_N, dtype=np.float64)
    means = {label: weights_N[labels_N == label].mean() for label in (True, False) if (labels_N == label).any()}
    return weights_N / np.array([means[bool(label)] for label in labels_N])


def quality(labels_N: np.ndarray, logits_N: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve, and precision, recall and false-positive rate at logit 0."""
    flagged_N, negatives_N = logits_N > 0, ~labels_N.astype(bool)
    return {
        "auc": float(roc_auc_score(labels_N, logits_N)),
        "precision": float(precision_score(labels_N, flagged_N, zero_division=0)),
        "recall": float(recall_score(labels_N, flagged_N, zero_division=0)),
        "false_positive_rate": float(flagged_N[negatives_N].mean()),
        "positives": int(labels_N.sum()),
        "negatives": int(negatives_N.sum()),
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))


def _regression(penalty: float) -> LogisticRegression:
    # Newton's method converges in a few steps, because there are many more examples than features.
    return LogisticRegression(C=1 / penalty, class_weight="balanced", solver="newton-cholesky", tol=1e-8)
