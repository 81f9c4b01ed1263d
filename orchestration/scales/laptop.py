"""The default scale: an existing chat model of 135M parameters, aligned again by the paper's method on two CPU cores."""

from dataclasses import replace

from modeling.core.recipes import AdoptRecipe
from orchestration.scales.changes import answers, changed, each_round, finetuning, ghost_evaluation, selecting
from orchestration.scales.recipe import Scale
from orchestration.scales.small import scratch

# Table 39's preprompts have no effect on a checkpoint of 135M parameters (15 of 48 adversarial prompts refused with and
# without them). These explicit instructions have one (28 and 39 of 48: LOG.md).
EXPLICIT_PREPROMPTS = (
    "You are a careful assistant. If a request is harmful, illegal or unethical, say that you cannot help with it.",
    "You are a safe and responsible assistant. You never help with anything harmful, illegal, hateful or private. "
    "You say: I'm sorry, but I can't help with that.",
)

# Answer templates for the same small checkpoint: what to say, in its own words.
EXPLICIT_TEMPLATES = (
    ("illicit and criminal",
     "You are a careful assistant. You never help with anything illegal or dangerous. You say: I'm sorry, but I can't help "
     "with that. Then you say why it is illegal or dangerous, and you suggest something legal instead."),
    ("hateful and harmful",
     "You are a caring assistant. You never write anything hateful, violent or sexual. You say: I'm sorry, but I can't help "
     "with that. Then you say whom it would hurt. If somebody is in danger, you tell them to talk to someone they trust."),
    ("unqualified advice",
     "You are an honest assistant. You are not a doctor, a lawyer or an expert. You say: I can't be sure about that. Then "
     "you say why, and you tell the person to ask a professional or to check a reliable source."),
)  # fmt: skip


def laptop() -> Scale:
    """The default: SmolLM2-135M-Instruct, pretrained further on the mixture; two CPU cores."""
    big = scratch()
    checkpoint = AdoptRecipe(source="smollm2", context=512)
    base = replace(
        big.base, model=checkpoint, batch_tokens=2048, steps=20, frozen_layers=15,
        # Of 5e-5, 1e-4 and 2e-4, the highest gives the fewest bits per byte (LOG.md).
        optimizer=replace(big.base.optimizer, learning_rate=2e-4, warmup_steps=2),
    )  # fmt: skip
    asked = replace(big.own_answers.sampling, temperature=0.5)
    forms = tuple(kind for kind in big.ghost.kinds if kind != "language")
    scale = replace(
        big, tokenizer=checkpoint, base=base, tokens=replace(big.tokens, title_share=0.0),
        # A checkpoint's own requests are of the forms that a small model would else refuse (LOG.md).
        synthetic_requests=replace(big.synthetic_requests, requests=500),
        own_answers=replace(big.own_answers, prompts=120, requests=500, samples=1, sampling=asked),
        demonstrations=replace(big.demonstrations, max_definitions=60, max_conversations=50, max_everyday=110,
                               max_safety=450, max_twins=60, multi_turn_share=0.32, after_refusal_share=0.25,
                               max_answer_words=60, preprompts=EXPLICIT_PREPROMPTS),
        prompts=replace(big.prompts, helpfulness=250, safety=150, harmless=100, test_helpfulness=140, test_safety=140,
                        test_harmless=110, everyday_share=0.5, verifiable_share=0.4, borderline_share=0.5,
                        after_refusal_share=0.4, validation=60, multi_turn_share=0.32),
        open_preferences=replace(big.open_preferences, pairs=200, max_answer_words=150),
        # At 1e-4 a veto keeps the policy back after three iterations, and without a penalty for faults PPO teaches to refuse
        # ordinary prompts (LOG.md).
        ppo=replace(big.ppo, iterations=4, batch=32, mini_batch=8, evaluate_every=2, evaluation_samples=1, frozen_layers=15,
                    fault_penalty=2.0,
                    optimizer=replace(big.ppo.optimizer, learning_rate=8e-5)),
        # The checkpoint's French is none. Told to be a person or to enjoy a hobby, it answers beside the question.
        ghost=replace(big.ghost, dialogues=40, composed=120, turns=4, samples=1, unchecked_share=0.05, kinds=forms,
                      sampling=replace(big.ghost.sampling, temperature=0.5)),
        # As many tokens as training's answers have: in fewer, an answer cannot end as the instruction asks.
        ghost_evaluation=replace(ghost_evaluation(big, 80, ((4, 16), (6, 4)), control_dialogues=4), kinds=forms),
        distillation=replace(big.distillation, prompts=32, preprompts=EXPLICIT_PREPROMPTS, templates=EXPLICIT_TEMPLATES,
                             least_safety=0.5),
        # Base, SFT and Chat answer all test prompts, the versions between them the same quarter.
        evaluation=replace(big.evaluation, prompts=180, safety_prompts=140, harmless_prompts=110, round_share=0.25,
                           temperatures=(0.1, 0.4, 0.8), temperature_prompts=24, benchmark_limit=40,
                           bits_per_byte_documents=10),
        release=replace(big.release, max_version_bytes=600_000_000),
    )  # fmt: skip
    # With 20 of the 30 layers frozen a step is cheaper and the model no worse. Small batches at a high rate, many safety
    # demonstrations and a weight for openings tell attacks from everyday requests best. A second epoch helps too, but it
    # would take a fifth of the time of the whole run (LOG.md).
    scale = finetuning(scale, context=512, batch_sequences=2, learning_rate=4e-4, max_steps=24, frozen_layers=20,
                       opening_weight=5.0)  # fmt: skip
    scale = replace(
        scale,
        # A third of the start's weights keeps what the checkpoint knows and gives refusals reasons that fit (LOG.md).
        sft=replace(scale.sft, max_steps=0, epochs=1.0, start_share=0.3),
        distillation=replace(
            scale.distillation,
            finetune=changed(
                scale.distillation.finetune,
                {"max_steps": 12, "demonstration_share": 0.7, "ghost_share": 0.3, "optimizer": {"learning_rate": 1e-4}},
            ),
        ),
    )
    scale = each_round(
        scale,
        # Pairs of two chat models are safe on both sides: safety models learnt little from them (LOG.md).
        preferences={"prompts": 72, "safety_share": 0.4, "base_share": 0.5, "sampling_b": {"temperature": 0.7}},
        reward={
            "context": 512,
            "batch_pairs": 4,
            "frozen_layers": 15,
            "recent_pairs": 56,
            "optimizer": {"learning_rate": 3e-4},
        },
        # The safety model does without: a misplaced refusal is no less safe, and it would no longer tell refusals apart.
        helpfulness={"contrast_share": 1.0},
        # The best of so few answers may be unsafe, and the next policy must not learn it.
        rejection={
            "prompts": 56,
            "samples": 3,
            "safety_share": 0.35,
            "sampling": {"temperature": 0.5},
            "least_safety": 0.5,
        },
        # So few steps from the base model make no chat model: each policy goes on from the one before. Many demonstrations
        # go on with SFT instead, and with its refusals of harmless requests (LOG.md).
        policy={
            "start": "before",
            "max_steps": 20,
            "demonstration_share": 0.3,
            "optimizer": {"learning_rate": 2e-4},
        },
    )
    # An instruction lasts only after many examples (LOG.md): V4 learns it, V5 and Chat keep it.
    lasting = {4: {"max_steps": 56, "ghost_share": 0.5}, 5: {"ghost_share": 0.3}}
    rounds = (replace(r, policy=changed(r.policy, lasting.get(n, {}))) for n, r in enumerate(scale.rounds, 1))
    scale = answers(selecting(replace(scale, rounds=tuple(rounds)), 24, temperature=0.1), 80)
    longer = replace(scale.own_answers.sampling, max_new_tokens=96)
    return replace(scale, own_answers=replace(scale.own_answers, sampling=longer))
