"""Time of each part of a PPO iteration, on untrained networks of a given shape, whose answers run to the length limit.

    python benchmarks/ppo.py --layers 6 --hidden 256 --ffn 704 --vocab 4096 --context 256 --batch 64 --tokens 48

Prints seconds per part, tokens/s, and the largest change of a log-probability under bfloat16.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modeling.core.recipes import OptimizerRecipe, SamplingRecipe
from modeling.pretraining import tokenizer as tokenizers
from modeling.rlhf.ppo import loop as ppo_loop
from modeling.rlhf.ppo import losses, networks
from modeling.rlhf.ppo import stage as ppo
from modeling.rlhf.recipes import PpoRecipe


class Silent:
    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        pass


def world(folder: Path, arguments: argparse.Namespace) -> dict[str, Path]:
    """Makes random networks that share a tokenizer, and short prompts."""
    if arguments.tokenizer:
        tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    else:
        tokenizer = tokenizers.train([Path(__file__).read_text()] * 3, arguments.vocab)
    shape = LlamaConfig(
        vocab_size=arguments.vocab,
        hidden_size=arguments.hidden,
        intermediate_size=arguments.ffn,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        num_key_value_heads=arguments.kv_heads,
        max_position_embeddings=arguments.context,
        tie_word_embeddings=True,
        pad_token_id=0,
        num_labels=1,
    )
    torch.manual_seed(0)
    roles = {role: folder / role for role in ("policy", "helpfulness_reward_model", "safety_reward_model", "prompts")}
    for role, path in roles.items():
        if role != "prompts":
            (LlamaForCausalLM if role == "policy" else LlamaForSequenceClassification)(shape).save_pretrained(path)
            tokenizer.save_pretrained(path)
    roles["prompts"].mkdir()
    rows = [
        {
            "id": str(index),
            "messages": [{"role": "user", "content": f"{index}: where is the folder of this model?"}],
            "kind": "safety" if index % 3 == 0 else "helpfulness",
            "category": "",
            "reference": "",
        }
        for index in range(5 * arguments.batch)
    ]
    for part, taken in (("rl", rows[arguments.batch :]), ("validation", rows[: arguments.batch])):
        pq.write_table(pa.Table.from_pylist(taken), roles["prompts"] / f"{part}.parquet")
    return roles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = (("layers", 6), ("hidden", 256), ("ffn", 704), ("heads", 8), ("kv-heads", 4), ("vocab", 4096))
    for name, value in (*sizes, ("context", 256), ("batch", 64), ("mini-batch", 16), ("tokens", 48), ("iterations", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tokenizer", help="folder of a tokenizer; without it a small one is trained")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    recipe = PpoRecipe(
        optimizer=OptimizerRecipe(1e-6, 0.9, 0.95, 1e-5, 0.1, 1.0, "constant", 0, 0.0, 1.0),
        sampling=SamplingRecipe(1.0, 1.0, arguments.tokens, 0),
        iterations=arguments.iterations,
        batch=arguments.batch,
        mini_batch=arguments.mini_batch,
        clip=0.2,
        value_clip=0.2,
        value_coefficient=0.1,
        beta=0.01,
        gamma=1.0,
        gae_lambda=0.95,
        safety_threshold=0.15,
        truncation_penalty=1.0,
        fault_penalty=0.0,
        evaluate_every=1000,
        evaluation_samples=1,
        patience=1,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        loop = ppo.make_loop(recipe, world(Path(folder), arguments), Silent())
        spent: dict[str, float] = {}

        def timed(owner, name: str, label: str) -> None:
            inner = getattr(owner, name)

            def outer(*args):
                started = time.perf_counter()
                result = inner(*args)
                spent[label] = spent.get(label, 0.0) + time.perf_counter() - started
                return result

            object.__setattr__(owner, name, outer)

        for name, label in (("respond", "generation"), ("reward", "reward models"), ("rollout", "rollout, total")):
            timed(loop, name, label)
        timed(loop, "update", "update")
        loop.update(loop.rollout(1)[0])
        spent.clear()
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        tokens = 0
        for iteration in range(2, 2 + arguments.iterations):
            experience, _ = loop.rollout(iteration)
            tokens += int(experience.mask_BT.sum())
            loop.update(experience)
        profile.disable()
        total = spent["rollout, total"] + spent["update"]
        for label, seconds in spent.items():
            print(f"{label:20} {seconds / arguments.iterations:8.2f} s per iteration {100 * seconds / total:5.0f} %")
        print(f"{tokens / total:.0f} response tokens/s overall, {torch.get_num_threads()} threads")
        print(f"largest difference of a log-probability from float32: {bfloat16_error(loop, experience):.4f}")
        if arguments.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


@torch.no_grad()
def bfloat16_error(loop: ppo_loop.Loop, experience: ppo_loop.Experience) -> float:
    """Returns the largest difference to log-probabilities of the same forward pass in float32."""
    worst = 0.0
    everything = range(len(experience.prompts))
    for batch in loop.micro_batches(experience.prompts, experience.responses, everything):
        hidden_BLD = loop.policy.model.base_model(input_ids=batch.ids_BL).last_hidden_state
        logits_NV = loop.policy.model.get_output_embeddings()(hidden_BLD[batch.states()])
        exact_BT = batch.spread(losses.token_logprobs(logits_NV, batch.tokens()))
        worst = max(worst, float((exact_BT - networks.policy_logprobs(loop.policy.model, batch)).abs().max()))
    return worst


if __name__ == "__main__":
    main()
