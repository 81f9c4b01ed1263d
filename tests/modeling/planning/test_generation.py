"""Replicas, and what limits a step of generation."""

from dataclasses import replace

import pytest

from modeling.planning.arithmetic import forward_flops
from modeling.planning.generation import Drawn, device_seconds, replica
from modeling.planning.sizes import parameters
from orchestration.plans import ASSUMPTIONS
from orchestration.scales import scale

DRAWN = Drawn(answers=1000.0, prompt_tokens=564, answer_tokens=234)


@pytest.mark.parametrize(("name", "devices"), [("7b", 1), ("13b", 1), ("34b", 2), ("70b", 4)])
def test_a_replica_has_room_for_the_weights_and_a_cache(name, devices):
    model = scale(name).base.model
    one = replica(model, parameters(model), DRAWN, ASSUMPTIONS)
    cache = 2 * model.layers * model.kv_heads * (model.hidden // model.heads) * 2
    assert one.devices == devices and one.cache == one.rows * 798 * cache
    taken = 2 * parameters(model) + one.rows * 798 * cache
    assert 0.9 * devices * 80e9 - 798 * cache < taken <= 0.9 * devices * 80e9


def test_a_step_waits_for_memory_or_for_arithmetic():
    model = scale("7b").base.model
    weights = parameters(model)
    one = replica(model, weights, DRAWN, ASSUMPTIONS)
    assert (
        replica(model, weights, DRAWN, replace(ASSUMPTIONS, bandwidth_share=1.0)).step_seconds == one.step_seconds / 2
    )
    assert one.tokens_per_second == one.rows / one.step_seconds
    slow = replica(model, weights, DRAWN, replace(ASSUMPTIONS, mfu=0.001))
    assert slow.step_seconds == one.rows * forward_flops(model, 798) / (989e12 * 0.001) > one.step_seconds


def test_grouped_queries_answer_more_rows_at_once():
    model = scale("7b").base.model
    grouped = replace(model, kv_heads=8)
    rows, more = (replica(one, parameters(model), DRAWN, ASSUMPTIONS).rows for one in (model, grouped))
    assert 4 * rows <= more < 4 * (rows + 1)


def test_twice_the_answers_take_twice_the_time():
    model = scale("70b").base.model
    once, twice = (device_seconds(model, parameters(model), replace(DRAWN, answers=n), ASSUMPTIONS) for n in (1e3, 2e3))
    assert twice == 2 * once
