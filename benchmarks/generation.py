"""Speed and distribution of generation: the plain loop (kept here as the reference) and the one in use, side by side.

    python benchmarks/generation.py                            # the base model of scale laptop in the store
    python benchmarks/generation.py FOLDER --prompts FILE      # a Hugging Face directory; one prompt a line

Each speed is of a process of its own with one thread, in CPU seconds. Then both answer in float32: greedy answers and
answers from the same random numbers are compared one by one. Last, tokens drawn from the model's own logits are compared
with the nucleus distribution computed in full (total variation distance, beside that of the reference).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoTokenizer, DynamicCache

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling.core import decoding, dialog, nucleus, sampling  # noqa: E402
from modeling.core.recipes import SamplingRecipe  # noqa: E402
from orchestration import store  # noqa: E402
from orchestration.launchers import ALLOCATOR  # noqa: E402

FORMS = (
    "What is {}?",
    "Give me three facts about {}.",
    "Write two sentences about {} for a child who has never heard of it.",
    "I have to give a short talk about {} tomorrow and do not know where to begin. What should I say first?",
)
SUBJECTS = ("bread", "the moon", "a thunderstorm", "glaciers", "chess", "the heart", "paper", "honey")
DRAWS = 5_000


@torch.inference_mode()
def plain_batch(model, prompts, uniforms_RT2, recipe, samples, closing, pad, progressed) -> list[list[int]]:
    """The reference: transformers' growing cache, a full sort wherever a draw falls outside of the nucleus."""
    width = max(map(len, prompts))
    ids_BP = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts])
    mask_BP = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
    positions_BP = (mask_BP.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    given = {"past_key_values": cache, "use_cache": True}
    logits_BV = model(
        input_ids=ids_BP, attention_mask=mask_BP, position_ids=positions_BP, logits_to_keep=1, **given
    ).logits[:, -1]
    if samples > 1:
        cache.batch_repeat_interleave(samples)
    logits_RV, mask_RP = logits_BV.repeat_interleave(samples, 0), mask_BP.repeat_interleave(samples, 0)
    positions_R = positions_BP[:, -1].repeat_interleave(samples, 0)
    alive_R = torch.arange(len(logits_RV))
    answers: list[list[int]] = [[] for _ in alive_R]
    for step in range(recipe.max_new_tokens):
        tokens_R = plain_tokens(logits_RV.float(), uniforms_RT2[alive_R, step], recipe.temperature, recipe.top_p)
        for row, token in zip(alive_R.tolist(), tokens_R.tolist(), strict=True):
            answers[row].append(token)
        progressed(sum(map(len, answers)) / recipe.max_new_tokens)
        going = (tokens_R != closing).nonzero().flatten()
        if len(going) == 0 or step + 1 == recipe.max_new_tokens:
            break
        if len(going) < len(tokens_R):
            cache.batch_select_indices(going)
            alive_R, tokens_R, mask_RP, positions_R = (t[going] for t in (alive_R, tokens_R, mask_RP, positions_R))
        positions_R = positions_R + 1
        mask_RP = torch.cat([mask_RP, mask_RP.new_ones(len(mask_RP), 1)], 1)
        logits_RV = model(
            input_ids=tokens_R[:, None], attention_mask=mask_RP, position_ids=positions_R[:, None], **given
        ).logits[:, -1]
    return answers


def plain_tokens(logits_RV, uniforms_R2, temperature: float, top_p: float) -> torch.Tensor:
    """One token per row, with running sums and sorts over the whole vocabulary."""
    if temperature == 0:
        return logits_RV.argmax(-1)
    probabilities_RV = (logits_RV / temperature).softmax(-1)
    tokens_R = plain_draw(probabilities_RV.cumsum(-1), uniforms_R2[:, 0])
    drawn_R1 = probabilities_RV.gather(1, tokens_R[:, None])
    outside = (probabilities_RV.where(probabilities_RV > drawn_R1, 0).sum(-1) >= top_p).nonzero().flatten()
    if len(outside):
        sorted_QV, order_QV = probabilities_RV[outside].sort(-1, descending=True)
        cumulative_QV = sorted_QV.cumsum(-1)
        kept_QV = sorted_QV.where(cumulative_QV - sorted_QV < top_p, 0).cumsum(-1)
        tokens_R[outside] = order_QV.gather(1, plain_draw(kept_QV, uniforms_R2[outside, 1])[:, None]).flatten()
    return tokens_R


def plain_draw(cumulative_RV, uniforms_R) -> torch.Tensor:
    target_R1 = uniforms_R[:, None] * cumulative_RV[:, -1:]
    drawn_R = torch.searchsorted(cumulative_RV, target_R1, right=True).flatten()
    return torch.minimum(drawn_R, (cumulative_RV < cumulative_RV[:, -1:]).sum(-1))


LOOPS = {"plain": plain_batch, "in use": decoding.answer_batch}


def encoded_prompts(tokenizer, file: Path | None, count: int) -> list[list[int]]:
    """`count` prompts as token ids: the file's lines, or questions made of FORMS and SUBJECTS; repeated where too few."""
    texts = file.read_text().splitlines() if file else [form.format(one) for one in SUBJECTS for form in FORMS]
    chosen = (texts * (count // len(texts) + 1))[:count]
    return [dialog.encode_prompt(tokenizer, [{"role": "user", "content": text}]) for text in chosen]


def answers(loop: str, model, tokenizer, prompts, recipe: SamplingRecipe, samples: int) -> list[list[list[int]]]:
    """Answers of a loop, through the batching and the random numbers that every stage uses."""
    in_use, decoding.answer_batch = decoding.answer_batch, LOOPS[loop]
    try:
        return sampling.generate_ids(model, tokenizer, prompts, recipe, samples)
    finally:
        decoding.answer_batch = in_use


def speed(loop: str, folder: Path, prompts_file: Path | None, count: int, samples: int, recipe: SamplingRecipe) -> dict:
    """Tokens a CPU second of a loop, prompts included, and the largest memory of this process."""
    torch.set_num_threads(1)
    model, tokenizer = sampling.load_transformers(folder), AutoTokenizer.from_pretrained(folder)
    prompts = encoded_prompts(tokenizer, prompts_file, count)
    answers(loop, model, tokenizer, prompts[:2], replace(recipe, max_new_tokens=2), 1)
    begin = time.process_time()
    rows = answers(loop, model, tokenizer, prompts, recipe, samples)
    seconds = time.process_time() - begin
    tokens = sum(len(ids) for row in rows for ids in row)
    return {
        "loop": loop,
        "answers": count * samples,
        "tokens": tokens,
        "cpu_s": round(seconds, 2),
        "tokens_per_cpu_s": round(tokens / seconds, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def equality(folder: Path, prompts_file: Path | None, recipe: SamplingRecipe) -> dict:
    """Share of answers that are the same under both loops in float32: greedy, and drawn from the same numbers."""
    model, tokenizer = sampling.load_transformers(folder).float(), AutoTokenizer.from_pretrained(folder)
    prompts = encoded_prompts(tokenizer, prompts_file, 16)
    shares = {}
    for name, samples, changed in (("greedy", 1, replace(recipe, temperature=0.0)), ("drawn", 2, recipe)):
        one, other = (answers(loop, model, tokenizer, prompts, changed, samples) for loop in LOOPS)
        pairs = [pair for rows in zip(one, other, strict=True) for pair in zip(*rows, strict=True)]
        shares[f"same_{name}_answers"] = round(sum(a == b for a, b in pairs) / len(pairs), 4)
    return shares


@torch.inference_mode()
def distances(folder: Path, prompts_file: Path | None, recipe: SamplingRecipe) -> dict:
    """Mean total variation between the first tokens drawn after a prompt and the nucleus distribution in full."""
    model, tokenizer = sampling.load_transformers(folder), AutoTokenizer.from_pretrained(folder)
    found: dict[str, list[float]] = {"plain": [], "in use": []}
    same = []
    for number, ids in enumerate(encoded_prompts(tokenizer, prompts_file, 4)):
        logits_V = model(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()
        wanted_V = (logits_V / recipe.temperature).softmax(-1)
        sorted_V, _ = wanted_V.sort(descending=True)
        least = sorted_V[sorted_V.cumsum(-1) - sorted_V < recipe.top_p][-1]
        wanted_V = wanted_V.where(wanted_V >= least, 0)
        wanted_V /= wanted_V.sum()
        uniforms_R2 = torch.rand(DRAWS, 2, generator=torch.Generator().manual_seed(number))
        drawn = {}
        for name, draw in (("plain", plain_tokens), ("in use", nucleus.sample_tokens)):
            parts = uniforms_R2.split(500)
            drawn[name] = torch.cat(
                [draw(logits_V.expand(len(u), -1), u, recipe.temperature, recipe.top_p) for u in parts]
            )
            shares_V = torch.bincount(drawn[name], minlength=len(wanted_V)) / DRAWS
            found[name].append(((shares_V - wanted_V).abs().sum() / 2).item())
        same.append((drawn["plain"] == drawn["in use"]).float().mean().item())
    mean = {f"total_variation {name}": round(sum(values) / len(values), 4) for name, values in found.items()}
    return {**mean, "same_draws": round(sum(same) / len(same), 4), "draws": DRAWS * len(same)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="Hugging Face directory (default: laptop's base model)")
    parser.add_argument("--prompts", type=Path, help="file with one prompt a line (default: questions made here)")
    parser.add_argument("--count", type=int, default=64, help="prompts (default: 64)")
    parser.add_argument("--samples", type=int, default=1, help="answers to each prompt (default: 1)")
    parser.add_argument("--tokens", type=int, default=64, help="longest answer (default: 64)")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--row", choices=list(LOOPS), help=argparse.SUPPRESS)  # one measurement, in its own process
    given = parser.parse_args()
    folder = given.model or store.artifact("base_model", "laptop")
    recipe = SamplingRecipe(given.temperature, given.top_p, given.tokens, 1)
    if given.row:
        print(json.dumps(speed(given.row, folder, given.prompts, given.count, given.samples, recipe)))
        return
    rows = []
    for loop in LOOPS:
        command = [sys.executable, __file__, *sys.argv[1:], "--row", loop]
        environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"ratio": round(rows[1]["tokens_per_cpu_s"] / rows[0]["tokens_per_cpu_s"], 2)}), flush=True)
    print(
        json.dumps(equality(folder, given.prompts, replace(recipe, max_new_tokens=min(16, given.tokens)))), flush=True
    )
    print(json.dumps(distances(folder, given.prompts, recipe)))


if __name__ == "__main__":
    main()
