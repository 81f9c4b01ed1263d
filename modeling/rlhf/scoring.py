"""Reward model scores, and the combination of two into one reward (paper 3.2.3)."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from modeling.core import dialog, runtime, sampling
from modeling.core.last_states import last_states

# Below this safety probability the reward is safety alone: precision 0.89, recall 0.55 on the paper's test set.
SAFETY_THRESHOLD = 0.15


def load(model_dir: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model on this process's device, and its tokenizer. Raises ValueError if it has more than one output."""
    where = runtime.device()
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, dtype="auto")
    if model.config.num_labels != 1:
        raise ValueError(f"{model_dir} has {model.config.num_labels} outputs; a reward model has one")
    model.model.to(sampling.generation_dtype(where, model.num_parameters()))  # the head keeps its trained dtype
    model.score = copy.deepcopy(model.score)  # as loaded, the head alone keeps the whole checkpoint in memory
    return model.to(where).eval(), AutoTokenizer.from_pretrained(model_dir)


def encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], limit: int) -> tuple[list[int], bool]:
    """(ids of a dialogue up to the closing token of its last answer, whether its start was cut).

    A dialogue over `limit` tokens keeps its end, because the score is read at the closing token of the answer.
    """
    ids, mask = dialog.encode_dialog(tokenizer, messages)
    closing = len(mask) - mask[::-1].index(1)  # a template such as ChatML may add tokens after the answer
    return ids[:closing][-limit:], closing > limit


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dialogs: Sequence[Sequence[dict]], log=None
) -> list[float]:
    """Raw score (logit) of each dialogue, read at the closing token of its last answer. Probability is its sigmoid."""
    return score_ids(
        model, [encode(tokenizer, messages, model.config.max_position_embeddings)[0] for messages in dialogs], log
    )


@torch.inference_mode()
def score_ids(model: PreTrainedModel, rows: Sequence[Sequence[int]], log=None) -> list[float]:
    """Raw score at the last token of each row of ids."""

    def progressed(done: int) -> None:
        if log is not None:
            log.progress(done, len(rows), unit="answer")

    states_ND = last_states(model, rows, progressed)
    # The head runs in float32: bfloat16 would round scores to steps of a percent, which makes ties.
    return (states_ND @ model.score.weight.float().T).squeeze(-1).tolist()


def sigmoid(scores: Sequence[float] | Tensor) -> Tensor:
    """Probabilities of raw scores, float32."""
    return torch.as_tensor(scores, dtype=torch.float32).sigmoid()


def piecewise(
    safety_probability: Sequence[float] | Tensor,
    helpfulness_probability: Sequence[float] | Tensor,
    is_safety: Sequence[bool] | Tensor,
    threshold: float = SAFETY_THRESHOLD,
) -> Tensor:
    """R_c: the safety score on adversarial prompts and wherever it is below the threshold, else helpfulness (3.2.3)."""
    safety = torch.as_tensor(safety_probability, dtype=torch.float32)
    helpfulness = torch.as_tensor(helpfulness_probability, dtype=torch.float32)
    return torch.where(torch.as_tensor(is_safety, dtype=torch.bool) | (safety < threshold), safety, helpfulness)


def logit(probability: Sequence[float] | Tensor) -> Tensor:
    """Inverse of the sigmoid. Probabilities of exactly 0 or 1 give finite values (±16, the resolution of float32)."""
    return torch.logit(torch.as_tensor(probability, dtype=torch.float32), eps=1e-7)


def whiten(values: Tensor) -> Tensor:
    """Values at mean 0, standard deviation 1 over the batch (the paper leaves the scope open); 0 if all are equal."""
    centred = values - values.mean()
    return centred / (values.var(correction=0) + 1e-8).sqrt()
