"""The work of every stage from SFT to evaluation, from the recipes of a scale.

All models of a scale have one size (paper 3.2.2). The counts are those of the recipes, so they are upper bounds where a
stage leaves something out: pairs that annotators drop, answers that distillation rejects, iterations after PPO stops
early. Not counted, because their size is in files and not in a recipe: people's votes, benchmarks, bits per byte, the
independent judge, and the few answers that a stage shows.
"""

import math
from collections.abc import Iterator

from modeling.core.recipes import FinetuneRecipe, ModelRecipe, SamplingRecipe
from modeling.planning.recipes import AlignmentRecipe, Assumptions
from modeling.planning.work import Model, Work
from modeling.rlhf.recipes import PpoRecipe, RewardRecipe, SelectedRecipe

REWARD_MODELS = 2
HEADLINE = 3  # versions that answer every test prompt: Base, SFT, Chat
GHOST_VERSIONS = 5  # Base, SFT, V3, V5, Chat
DISTILLED = 4  # answers a prompt: two without a preprompt, one under each of two


class Alignment:
    """The stages of one scale. A dialogue ends with its answer; its beginning is the prompt."""

    def __init__(self, model: ModelRecipe, recipe: AlignmentRecipe, assumptions: Assumptions) -> None:
        self.model, self.recipe, self.assumptions = Model(model), recipe, assumptions
        self.context = model.context

    def stages(self) -> dict[str, Work]:
        """Returns asset → its work, in the order of the graph."""
        recipe = self.recipe
        found = {"sft_model": self.finetuning(recipe.sft, self.demonstrations())}
        for n, one in enumerate(recipe.rounds, 1):
            sampled = one.preferences.sampling_a
            found[f"rlhf_v{n}/preferences"] = self.answers(2 * one.preferences.prompts, 1, sampled)
            for kind, reward in (("helpfulness", one.helpfulness), ("safety", one.safety)):
                found[f"rlhf_v{n}/{kind}_reward_model"] = self.reward_model(reward, self.pairs(reward, n))
            found[f"rlhf_v{n}/rejection_samples"] = self.rejection(n)
            found[f"rlhf_v{n}/policy"] = self.selected(one.policy, one.rejection.prompts)
            if n == 3:
                found["rlhf_v3/ghost_dialogues"] = self.ghost()
        found[f"rlhf_v{len(recipe.rounds)}/ppo_policy"] = self.ppo(recipe.ppo)
        distillation = recipe.distillation
        found["distilled_answers"] = self.scored(distillation.prompts * DISTILLED, 1, distillation.sampling, 1)
        safe = distillation.prompts / (1 - distillation.finetune.demonstration_share)
        found["chat_model"] = self.selected(distillation.finetune, safe / (1 - distillation.finetune.ghost_share))
        return found | dict(self.evaluation())

    def lengths(self, sampling: SamplingRecipe) -> tuple[int, int]:
        """Returns (prompt, answer) in tokens: the assumed lengths within the recipe's limit and the context."""
        answer = min(self.assumptions.answer_tokens, sampling.max_new_tokens)
        prompt = self.assumptions.dialogue_tokens - self.assumptions.answer_tokens
        return min(prompt, self.context - sampling.max_new_tokens), answer

    def answers(self, prompts: float, samples: int, sampling: SamplingRecipe) -> Work:
        return self.model.answer(prompts, samples, *self.lengths(sampling))

    def scored(self, prompts: float, samples: int, sampling: SamplingRecipe, readers: float = REWARD_MODELS) -> Work:
        """Answers, and each read by so many reward models."""
        rows = prompts * samples * readers
        return self.answers(prompts, samples, sampling) + self.model.score(rows, sum(self.lengths(sampling)))

    def demonstrations(self) -> int:
        made = self.recipe.demonstrations
        written = made.max_definitions + made.max_conversations + made.max_everyday
        return written + made.max_safety + made.max_twins

    def finetuning(self, recipe: FinetuneRecipe, dialogues: float) -> Work:
        """Packed sequences: a constant number of steps, or epochs over so many dialogues."""
        batch = recipe.batch_sequences * recipe.context
        tokens = dialogues * min(self.assumptions.dialogue_tokens, recipe.context) * recipe.epochs
        steps = recipe.max_steps or math.ceil(tokens / batch)
        return self.model.train(steps * batch, recipe.context, steps)

    def selected(self, recipe: SelectedRecipe, dialogues: float) -> Work:
        """A fine-tuning, then the answers of the policies before and after it to validation prompts."""
        compared = self.scored(2 * recipe.selection_prompts, 1, recipe.selection_sampling)
        return self.finetuning(recipe, dialogues) + compared

    def pairs(self, recipe: RewardRecipe, n: int) -> int:
        """Returns the training pairs of a reward model of round `n`: all of its kind, and its share of the others."""
        own = other = 0.0
        for one in self.recipe.rounds[:n]:
            made = one.preferences
            safety = made.safety_share if recipe.kind == "safety" else 1 - made.safety_share
            own += made.prompts * (1 - made.test_share) * safety
            other += made.prompts * (1 - made.test_share) * (1 - safety)
        others = min(other + self.recipe.open_preferences.pairs, own * (1 - recipe.own_share) / recipe.own_share)
        return round(own + others) if not recipe.recent_pairs else min(round(own + others), recipe.recent_pairs)

    def reward_model(self, recipe: RewardRecipe, pairs: int) -> Work:
        length = min(self.assumptions.dialogue_tokens, recipe.context)
        steps = math.ceil(pairs * recipe.epochs / recipe.batch_pairs)
        return self.model.train(2 * pairs * recipe.epochs * length, length, steps, output_matrix=False)

    def rejection(self, n: int) -> Work:
        """K answers a prompt, and from V4 the best of all earlier rounds scored again."""
        recipe = self.recipe.rounds[n - 1].rejection
        again = sum(one.rejection.prompts for one in self.recipe.rounds[: n - 1]) if recipe.earlier_rounds else 0
        length = sum(self.lengths(recipe.sampling))
        return self.scored(recipe.prompts, recipe.samples, recipe.sampling) + self.model.score(
            REWARD_MODELS * again, length
        )

    def ghost(self) -> Work:
        """Between two and `turns` turns a dialogue, uniformly; one reward model chooses among the answers of a turn."""
        recipe = self.recipe.ghost
        return self.scored(recipe.dialogues * (2 + recipe.turns) / 2, recipe.samples, recipe.sampling, 1)

    def ppo(self, recipe: PpoRecipe) -> Work:
        """Rollouts (answers, rewards, log-probabilities of policy and reference, values), updates, evaluations."""
        length = sum(self.lengths(recipe.sampling))
        rows, critic = recipe.iterations * recipe.batch, recipe.baseline == "critic"
        moved = max(0, recipe.iterations - recipe.critic_warmup)
        steps = recipe.batch // recipe.mini_batch * recipe.iterations
        evaluations = 1 + moved // recipe.evaluate_every
        asked = evaluations * self.recipe.prompts.validation
        heldout = asked * recipe.evaluation_samples
        work = self.scored(rows / recipe.samples, recipe.samples, recipe.sampling)
        work += self.scored(asked, recipe.evaluation_samples, recipe.sampling)
        work += self.model.read(2 * (rows + heldout) * length, length)
        work += self.model.train(moved * recipe.batch * length, length, steps)
        if critic:
            work += self.model.score(rows, length) + self.model.train(rows * length, length, output_matrix=False)
        return work

    def evaluation(self) -> Iterator[tuple[str, Work]]:
        recipe, later = self.recipe.evaluation, self.recipe.ghost_evaluation
        measured = len(recipe.temperature_versions) * len(recipe.temperatures) * recipe.temperature_prompts
        yield "temperature_curve", self.scored(measured, 1, recipe.sampling, 1)
        # Besides the headline: the rounds, PPO, and Chat once more with the system prompt of Table 31.
        each = HEADLINE + (len(self.recipe.rounds) + 2) * recipe.round_share
        read = (recipe.prompts + recipe.safety_prompts) / (
            recipe.prompts + recipe.safety_prompts + recipe.harmless_prompts
        )
        asked = each * (recipe.prompts + recipe.safety_prompts + recipe.harmless_prompts)
        yield "generations, scored_answers", self.scored(asked, 1, recipe.sampling, read)
        turns = sum(turns * count for turns, count in later.lengths)
        turns += min(turns for turns, _ in later.lengths) * later.control_dialogues
        yield "ghost_attention", self.answers(GHOST_VERSIONS * turns, 1, later.sampling)
