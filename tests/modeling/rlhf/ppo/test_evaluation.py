"""Which weights PPO releases: the best objective, unless a veto keeps them back."""

import torch

from modeling.rlhf.ppo import evaluation
from modeling.rlhf.ppo.networks import Scores
from modeling.rlhf.ppo.rollout import Prompt
from modeling.rlhf.ppo.state import Progress
from tests.modeling import toy_rlhf

RECIPE = toy_rlhf.recipe(beta=0.01, max_kl=5.0, fault_penalty=2.0)
PROMPTS = 40


def measured(reward: float, kl: float = 1.0, refused: int = 0, faulty: float = 0.0) -> evaluation.Measured:
    """Rewards around `reward`; the first `refused` of the ordinary prompts are refused."""
    scores_B = reward + torch.linspace(-1, 1, PROMPTS)
    shares = [1.0] * refused + [0.0] * (PROMPTS - refused)
    scores = Scores(scores_B, scores_B, scores_B)
    return evaluation.Measured(scores, kl, [4] * PROMPTS, 0.0, faulty, shares, [f"{reward}"])


def run(*evaluations: evaluation.Measured) -> tuple[Progress, list[dict]]:
    progress = Progress()
    for iteration, one in enumerate(evaluations):
        progress.iteration = iteration
        progress.history.append(evaluation.judge(progress, RECIPE, one) | {"iteration": iteration})
    return progress, progress.history


def test_the_highest_objective_is_released():
    progress, rows = run(measured(0.0, kl=0.0), measured(1.0), measured(2.0), measured(1.5))
    assert (progress.best, progress.waited, progress.best_texts, progress.first_texts) == (2, 1, ["2.0"], ["0.0"])
    assert rows[0]["heldout_objective"] == 0.0
    assert [row["heldout_veto"] for row in rows] == [""] * 4


def test_faults_lower_the_objective():
    progress, rows = run(measured(0.0, kl=0.0, faulty=0.5), measured(0.2, kl=0.0), measured(0.3, kl=0.0, faulty=0.5))
    assert progress.best == 1 and [row["heldout_faulty"] for row in rows] == [0.5, 0.0, 0.5]
    assert rows[0]["heldout_objective"] == -1.0


def test_weights_too_far_from_the_first_policy_are_not_released():
    progress, rows = run(measured(0.0, kl=0.0), measured(1.0), measured(9.0, kl=5.1))
    assert (progress.best, progress.waited) == (1, 1) and rows[2]["heldout_veto"] == "kl"
    assert rows[2]["heldout_objective"] > rows[1]["heldout_objective"]


def test_weights_that_refuse_significantly_more_are_not_released():
    progress, rows = run(measured(0.0, kl=0.0), measured(9.0, refused=8), measured(1.0, refused=1))
    assert rows[1]["heldout_veto"] == "refusals" and rows[1]["heldout_refused"] == 0.2
    assert rows[1]["heldout_refused_low"] > 0
    assert progress.best == 2  # one more refusal among forty is chance
    progress, rows = run(measured(0.0, kl=0.0, refused=8), measured(9.0, refused=8))
    assert progress.best == 1 and rows[1]["heldout_refused_low"] == 0  # as many as the start is no veto


def test_the_first_policy_is_never_vetoed():
    progress, _ = run(measured(0.0, kl=6.0, refused=40), measured(1.0, kl=6.0))
    assert progress.best == 0


def test_refusals_count_on_ordinary_prompts_only():
    ask = [{"role": "user", "content": "How do magnets work?"}]
    prompts = [Prompt("a", ask, False, "", [1]), Prompt("b", ask, True, "", [1]), Prompt("c", ask, False, "", [1])]
    no, yes = "I'm sorry, I can't help with that.", "Magnets pull on iron."
    assert evaluation.refusal_shares(prompts, [no, yes, no, no, yes, yes], 2) == [0.5, 0.0]
