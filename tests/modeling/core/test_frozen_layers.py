"""Frozen layers: what stays, what learns, and that no gradient is computed below the first layer that learns."""

import dataclasses

import pytest
import torch

from modeling.core.frozen_layers import freeze_lower
from modeling.pretraining.model import build
from tests.modeling import toy_chat

pytestmark = pytest.mark.trains


def model(**changes):
    return build(dataclasses.replace(toy_chat.MODEL, layers=3, **changes), None, 1)


def learning(one) -> set[str]:
    return {name for name, weight in one.named_parameters() if weight.requires_grad}


def test_embeddings_and_lowest_layers_do_not_learn():
    one = model()
    everything = learning(one)
    freeze_lower(one, 0)
    assert learning(one) == everything
    freeze_lower(one, 2)
    assert {name.split(".")[2] for name in learning(one) if ".layers." in name} == {"2"}
    assert {name for name in learning(one) if ".layers." not in name} == {"model.norm.weight"}  # the head is tied
    freeze_lower(untied := model(tied_embeddings=False), 3)
    assert learning(untied) == {"model.norm.weight", "lm_head.weight"}


@pytest.mark.parametrize("layers", [-1, 4])
def test_a_number_of_layers_that_the_model_lacks_is_refused(layers):
    with pytest.raises(ValueError, match="the model has 3"):
        freeze_lower(model(), layers)


def test_nothing_is_recorded_below_the_first_layer_that_learns():
    one = model()
    freeze_lower(one, 2)
    recorded = {}
    for number, layer in enumerate(one.model.layers):
        layer.register_forward_hook(lambda _, inputs, output, n=number: recorded.update({n: output.requires_grad}))
    ids = torch.arange(20).reshape(2, 10)
    one(input_ids=ids, labels=ids).loss.backward()
    assert recorded == {0: False, 1: False, 2: True}
    assert {name for name, weight in one.named_parameters() if weight.grad is not None} == learning(one)
