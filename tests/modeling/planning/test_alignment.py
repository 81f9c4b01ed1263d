"""Counts of the alignment half, by hand from the recipes."""

from dataclasses import replace

import pytest

from modeling.planning.alignment import Alignment
from modeling.planning.plan import plan
from orchestration import plans
from orchestration.scales import scale

PAPER = scale("7b")


def alignment(changed=PAPER, name="7b"):
    recipe = plans.recipe(name, changed)
    return Alignment(recipe.base.model, recipe.alignment, recipe.assumptions)


def test_sft_packs_its_demonstrations_for_two_epochs():
    work = alignment().stages()["sft_model"]
    dialogues = 10_000 + 10_000 + 5_000 + 2_540 + 250
    assert work.steps == -(-dialogues * 798 * 2 // (64 * 4096)) == 170
    assert work.trained == 170 * 64 * 4096 and not work.written


def test_reward_models_mix_the_kinds_as_the_paper_does():
    """All pairs of the own kind; as many others for helpfulness, a ninth for safety; each round on all pairs so far."""
    one = alignment()
    recipe = PAPER.rounds[0]
    own_helpful, own_safe = 100_000 * 0.99 * 0.8, 100_000 * 0.99 * 0.2
    assert one.pairs(recipe.helpfulness, 1) == round(2 * own_helpful)
    assert one.pairs(recipe.safety, 1) == round(own_safe / 0.9)
    assert one.pairs(recipe.safety, 5) == round(5 * own_safe / 0.9)
    alone = alignment(replace(PAPER, open_preferences=replace(PAPER.open_preferences, pairs=0)))
    assert alone.pairs(recipe.helpfulness, 1) == round(own_helpful + own_safe)  # there are no more others
    work = one.stages()["rlhf_v1/safety_reward_model"]
    assert work.trained == 2 * round(own_safe / 0.9) * 798 and work.steps == -(-round(own_safe / 0.9) // 512)


def test_rejection_sampling_reads_a_prompt_once_and_each_answer_with_both_reward_models():
    stages = alignment().stages()
    first, fourth = (stages[f"rlhf_v{n}/rejection_samples"] for n in (1, 4))
    assert first.written == 100_000 * 100 * 234
    assert first.read == 100_000 * (798 - 234) + 2 * 100_000 * 100 * 798
    assert fourth.read - first.read == 2 * 300_000 * 798  # the best of three earlier rounds once more
    assert fourth.written == first.written


def test_a_round_takes_its_constant_number_of_steps():
    work = alignment().stages()["rlhf_v2/policy"]
    assert work.steps == 300 and work.trained == 300 * 64 * 4096
    assert work.written == 2 * 512 * 234  # the selection, by both policies


def test_ppo_without_a_critic_trains_half_as_much():
    with_critic = alignment().stages()["rlhf_v5/ppo_policy"]
    changed = replace(PAPER, ppo=replace(PAPER.ppo, baseline="leave-one-out"))
    without = alignment(changed).stages()["rlhf_v5/ppo_policy"]
    rows = 400 * 512
    assert with_critic.trained - without.trained == rows * 798
    assert without.trained == (400 - 10) * 512 * 798
    assert with_critic.written == without.written == (rows + 512 * (1 + 390 // 10)) * 234
    assert with_critic.steps == 400 * 512 // 64


def test_answers_are_as_short_as_the_recipe_says():
    small = scale("scratch")
    work = alignment(small, "scratch").stages()["rlhf_v1/rejection_samples"]
    assert work.written == 480 * 8 * 48
    assert work.read == 480 * (256 - 48) + 2 * 480 * 8 * 256


def test_every_stage_of_the_alignment_half_that_uses_a_model_is_planned():
    """Those that read files alone, or are small beside the others, are named in the module's first lines."""
    from assets import STAGES

    left_out = {"initial_model", "synthetic_requests", "sft_dialogues", "benchmark_scores", "benchmark_contamination",
                "bits_per_byte", "bundle", "win_rates", "answer_rates", "reward_report", "fitted_judge",
                "adversarial_prompts", "demonstrations", "prompts", "open_preferences", "ratings", "mixture", "tokenizer",
                "tokens", "adopted_checkpoint"}  # fmt: skip
    planned = {key for name in plan(plans.recipe("tiny", scale("tiny"))).works for key in name.split(", ")}
    models = {key for key, stage in STAGES.items() if stage.group != "corpus"}
    assert planned == models - left_out


def test_impossible_assumptions_are_refused():
    for changes in ({"mfu": 0.0}, {"mfu": 1.5}, {"devices": 0}, {"bandwidth_share": -1.0}):
        with pytest.raises(ValueError, match="must be above 0"):
            plan(plans.recipe("tiny", scale("tiny"), **changes))
    with pytest.raises(ValueError, match="laptop starts from the checkpoint smollm2"):
        plan(plans.recipe("laptop", scale("laptop")))
