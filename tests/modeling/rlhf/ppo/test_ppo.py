"""PPO raises a reward it was never told in words, keeps near its reference, and survives being killed."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import sampling
from modeling.rlhf import scoring
from modeling.rlhf.ppo import losses, networks, rollout
from modeling.rlhf.ppo import stage as ppo
from modeling.rlhf.ppo import state as ppo_state
from modeling.rlhf.ppo.rollout import Prompt, Response
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains


class KilledError(Exception):
    pass


class KillingLog:
    """Ends the run right after an iteration was logged, when its checkpoint (if any) is written."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        if done == self.iteration:
            raise KilledError


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_rlhf.build(tmp_path_factory.mktemp("toy"))


def published(folder) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "_scratch" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_ppo_raises_the_reward_and_kl_stays_bounded(inputs, tmp_path, log):
    metrics = ppo.run(toy_rlhf.recipe(iterations=20, beta=0.05), inputs, tmp_path, log)
    rows = [json.loads(line) for line in (tmp_path / "iterations.jsonl").read_text().splitlines()]
    first, last = rows[1:4], rows[-3:]
    gain = sum(row["reward"] for row in last) / 3 - rows[1]["reward"]
    assert gain > rows[1]["reward_deviation"]
    assert metrics["heldout_reward_after"] > metrics["heldout_reward_before"] + rows[0]["heldout_deviation"] / 2
    assert 0 < metrics["heldout_kl_after"] < 25
    assert sum(row["entropy"] for row in last) < sum(row["entropy"] for row in first)
    assert [row["iteration"] for row in rows] == list(range(21))
    assert (tmp_path / "plots" / "ppo.png").stat().st_size > 10_000

    # The released folder answers with what its reward model likes, more than the policy it came from.
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    before = AutoModelForCausalLM.from_pretrained(inputs["policy"])
    prompts, _ = rollout.load_prompts(inputs["prompts"], "validation", tokenizer, toy_rlhf.CONTEXT)
    drawn = toy_rlhf.recipe().sampling
    share = []
    for network in (before, model):
        words = " ".join(answer.text for answer in rollout.respond(network, tokenizer, prompts, drawn, 5)).split()
        share.append(sum(word in ("blue", "green") for word in words) / len(words))
    assert share[1] > share[0] + 0.2


def test_more_kl_weight_keeps_the_policy_nearer(inputs, log):
    kl = {}
    for beta in (0.0, 1.0):
        loop = ppo.make_loop(toy_rlhf.recipe(beta=beta), inputs, log)
        figures = []
        for iteration in range(1, 9):
            experience, measured = loop.rollout(iteration)
            loop.update(experience)
            figures.append(measured["kl"])
        kl[beta] = sum(figures[-3:]) / 3
    assert kl[1.0] < 0.5 * kl[0.0]


def test_a_killed_run_continues_to_the_same_bytes(inputs, tmp_path, log):
    recipe = toy_rlhf.recipe(iterations=5, evaluate_every=2)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir(), torn.mkdir()
    metrics = ppo.run(recipe, inputs, whole, log)
    for iteration in (1, 3, 4):  # before any checkpoint, between two, at one
        with pytest.raises(KilledError):
            ppo.run(recipe, inputs, torn, KillingLog(iteration))
    again = ppo.run(recipe, inputs, torn, log)
    assert published(torn) == published(whole)
    assert {name: value for name, value in again.items() if name != "seconds"} == {
        name: value for name, value in metrics.items() if name != "seconds"
    }


def test_a_checkpoint_cut_short_is_not_used(inputs, tmp_path, log, monkeypatch):
    recipe = toy_rlhf.recipe(iterations=4, evaluate_every=2)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir(), torn.mkdir()
    ppo.run(recipe, inputs, whole, log)
    with pytest.raises(KilledError):
        ppo.run(recipe, inputs, torn, KillingLog(2))

    def cut(tensors, path):
        path.write_bytes(b"half")
        raise KilledError

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(ppo_state, "save_file", cut)
        ppo.run(recipe, inputs, torn, log)
    ppo.run(recipe, inputs, torn, log)
    assert published(torn) == published(whole)


def test_a_harmful_run_releases_the_policy_it_began_with(inputs, tmp_path, log):
    # A KL weight that makes every step away from the first policy a loss.
    recipe = toy_rlhf.recipe(iterations=9, evaluate_every=1, patience=2, beta=10.0, optimizer=toy_rlhf.optimizer(0.1))
    metrics = ppo.run(recipe, inputs, tmp_path, log)
    assert metrics["stopped_early"] and metrics["iterations"] == 2 and metrics["best_iteration"] == 0
    began, released = (load_file(folder / "model.safetensors") for folder in (inputs["policy"], tmp_path))
    assert all(torch.equal(began[name], released[name]) for name in began)


@pytest.mark.parametrize("micro_batch", ["16", "4"])
def test_ratio_is_exactly_one_on_the_first_mini_batch(inputs, log, monkeypatch, micro_batch):
    monkeypatch.setenv("CRIA_MICRO_BATCH", micro_batch)
    loop = ppo.make_loop(toy_rlhf.recipe(), inputs, log)
    experience, figures = loop.rollout(1)
    assert figures["kl"] == 0.0 and figures["kl_k3_token"] == 0.0  # the reference is the policy itself so far
    batches = list(loop.micro_batches(experience.prompts, experience.responses, range(16)))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(16))
    assert max(len(batch.rows) for batch in batches) <= int(micro_batch)
    for batch in batches:
        logp = networks.policy_logprobs(loop.policy.model, batch)
        old = experience.logp_BT[batch.rows, : batch.mask_BT.shape[1]]
        assert logp.requires_grad and logp.dtype == torch.float32
        assert torch.equal(logp, old)


def test_micro_batches_give_the_step_of_the_whole_mini_batch(inputs, log, monkeypatch):
    steps = []
    for micro_batch in ("16", "4"):
        monkeypatch.setenv("CRIA_MICRO_BATCH", micro_batch)
        loop = ppo.make_loop(toy_rlhf.recipe(batch=16), inputs, log)
        before = torch.cat([value.flatten() for value in ppo_state.weights(loop.policy.model).values()])
        for name, learner in loop.learners.items():  # plain gradient descent: the step is the gradient
            loop.learners[name] = ppo_state.Learner(learner.model, torch.optim.SGD(learner.model.parameters(), lr=1.0))
        experience, _ = loop.rollout(1)
        loop.update(experience)
        after = torch.cat([value.flatten() for value in ppo_state.weights(loop.policy.model).values()])
        steps.append(after - before)
    assert steps[0].norm() > 0.1
    assert (steps[0] - steps[1]).norm() < 0.05 * steps[0].norm()  # what bfloat16 rounds


def test_where_generation_is_bfloat16_its_copy_follows_the_policy(inputs, log, monkeypatch):
    monkeypatch.setattr(sampling, "generation_dtype", lambda where, parameters: torch.bfloat16)
    loop = ppo.make_loop(toy_rlhf.recipe(batch=16), inputs, log)
    experience, figures = loop.rollout(1)
    assert figures["kl"] == 0.0  # log-probabilities come from the float32 weights alone
    loop.update(experience)
    loop.respond(loop.heldout, 0, 1)
    for theirs, ours in zip(loop.actor.parameters(), loop.policy.model.parameters(), strict=True):
        assert theirs.dtype == torch.bfloat16 and torch.equal(theirs, ours.bfloat16())


def test_log_probabilities_are_those_of_single_unpadded_responses(inputs, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), inputs, log)
    experience, _ = loop.rollout(1)
    for row in (0, 7, 20):
        prompt, response = experience.prompts[row], experience.responses[row]
        ids = torch.tensor([prompt.ids + response.ids], device=loop.where)
        logits = loop.policy.model(input_ids=ids).logits[0, len(prompt.ids) - 1 : -1]
        alone = logits.log_softmax(-1)[range(len(response.ids)), response.ids]
        assert torch.allclose(
            alone, experience.logp_BT[row, : len(response.ids)], atol=0.03
        )  # bfloat16 against float32


def test_golden_batch_where_padding_and_closing_token_are_one():
    """0 both closes and pads: states and mask follow lengths, the reward lands on the last real token of each row."""
    prompts = [Prompt("a", [], False, "", [1, 2, 3]), Prompt("b", [], True, "", [4]), Prompt("c", [], True, "", [4])]
    responses = [Response([5, 0], "", True), Response([6, 7, 8, 6], "", False), Response([9], "", True)]
    batch = rollout.pack([1, 0], prompts, responses, torch.device("cpu"))
    assert batch.ids_BL.tolist() == [[4, 6, 7, 8, 6], [1, 2, 3, 5, 0]]
    assert batch.mask_BT.int().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert [indices.tolist() for indices in batch.states()] == [[0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 2, 3]]
    assert batch.tokens().tolist() == [6, 7, 8, 6, 5, 0]
    assert batch.spread(torch.tensor([1.0, 2, 3, 4, 5, 6])).tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]
    rewards = losses.token_rewards(torch.tensor([-1.0, 1.0]), torch.zeros(2, 4), batch.mask_BT, 0.1)
    assert rewards.tolist() == [[0.0, 0.0, 0.0, -1.0], [0.0, 1.0, 0.0, 0.0]]


def test_rows_of_like_length_share_a_batch():
    lengths = [10, 200, 12, 190, 11, 500, 10]
    assert rollout.like_lengths(lengths, range(7), 8) == [[0, 6, 4, 2], [3, 1], [5]]
    assert rollout.like_lengths(lengths, range(7), 3) == [[0, 6, 4], [2, 3], [1], [5]]
    assert rollout.like_lengths(lengths, range(4, 6), 8) == [[4], [5]]


def test_cut_off_responses_are_scored_and_pay_the_penalty(inputs, log):
    short = dataclasses.replace(toy_rlhf.recipe().sampling, max_new_tokens=4)
    loop = ppo.make_loop(toy_rlhf.recipe(sampling=short, gae_lambda=1.0, truncation_penalty=2.0), inputs, log)
    experience, figures = loop.rollout(1)
    ended = torch.tensor([response.ended for response in experience.responses])
    assert 0 < figures["truncated"] < 1 and figures["truncated"] == pytest.approx(1 - ended.float().mean().item())
    scores = loop.reward(experience.prompts, experience.responses)
    expected = scoring.whiten(scores.combined_B) - 2.0 * (~ended).float()  # KL is still zero
    rows = torch.arange(len(ended), device=loop.where)
    last = experience.returns_BT[rows, losses.last_token(experience.mask_BT)]
    assert torch.allclose(last.cpu(), expected, atol=1e-5)


def test_reward_follows_the_papers_rule(inputs, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), inputs, log)
    safe, helpful = (next(p for p in loop.prompts if p.safety is kind) for kind in (True, False))
    response = Response([], "blue blue blue green", True)
    scores = loop.reward([safe, helpful], [response, response])
    assert scores.combined_B[0] == pytest.approx(scores.safety_B[0].item(), abs=1e-4)
    assert scores.combined_B[1] == pytest.approx(scores.helpfulness_B[1].item(), abs=1e-4)
    assert scores.helpfulness_B[1] > scores.safety_B[1]


def test_every_prompt_once_an_epoch_and_held_out_ones_never(inputs, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), inputs, log)
    assert (len(loop.prompts), len(loop.heldout), loop.too_long) == (60, 6, 0)
    drawn = [p.id for iteration in range(1, 31) for p in rollout.draw(loop.prompts, iteration, 8, seed=3)]
    ids = sorted(p.id for p in loop.prompts)
    assert all(sorted(drawn[start : start + 60]) == ids for start in range(0, 240, 60))
    assert drawn[:60] != drawn[60:120]
    assert not {p.id for p in loop.heldout} & set(drawn)
    tokenizer = AutoTokenizer.from_pretrained(inputs["policy"])
    assert rollout.load_prompts(inputs["prompts"], "rl", tokenizer, 2) == ([], 60)


def test_another_tokenizer_is_refused(inputs, tmp_path, log):
    other = tmp_path / "other"
    shutil.copytree(inputs["safety_reward_model"], other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["turquoise"])
    tokenizer.save_pretrained(other)
    with pytest.raises(ValueError, match="another tokenizer"):
        ppo.run(toy_rlhf.recipe(), {**inputs, "safety_reward_model": other}, tmp_path / "out", log)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": dataclasses.replace(toy_rlhf.recipe().sampling, temperature=0.9)}, "temperature 1"),
        ({"sampling": dataclasses.replace(toy_rlhf.recipe().sampling, top_p=0.9)}, "top_p 1"),
        ({"mini_batch": 12}, "multiple of mini_batch"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"optimizer": dataclasses.replace(toy_rlhf.optimizer(1e-3), schedule="cosine")}, "constant learning rate"),
    ],
)
def test_recipes_that_would_do_something_else_are_refused(inputs, tmp_path, log, changes, message):
    with pytest.raises(ValueError, match=message):
        ppo.run(toy_rlhf.recipe(**changes), inputs, tmp_path, log)
