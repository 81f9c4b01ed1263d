"""How much the answers attend to the instruction in the first message (paper Figure 10).

The measure is attention mass: the share of a token's attention, 0 to 1, that falls on the instruction's tokens; mean
over heads and over the tokens of an answer. The paper shows the largest activation instead.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from modeling.core import dialog, reporting, runtime, sampling


def draw(folders: dict[str, Path], prompt: Sequence[dict], answer: str, instruction: str, path: Path) -> dict:
    """Plot layer by turn for each version, and the mean over layers. All versions read the same dialogue.

    Returns version → mean mass over layers by turn.
    """
    messages = dialog.with_answer([dict(message) for message in prompt], answer)
    masses = {version: instruction_mass(folder, messages, instruction) for version, folder in folders.items()}
    reporting.save_figure(plot(masses, instruction), path)
    return {version: np.round(mass_LN.mean(0), 5).tolist() for version, mass_LN in masses.items()}


def instruction_mass(model_dir: Path, messages: Sequence[dict], instruction: str) -> np.ndarray:
    """Mean attention mass of each answer on the instruction in the first message, shape (layers, answers)."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    begin, end = instruction_tokens(tokenizer, messages, instruction)
    ids, _ = dialog.encode_dialog(tokenizer, messages)
    answers = answer_tokens(tokenizer, messages)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="auto", attn_implementation="eager")
    model = model.to(runtime.device()).eval()
    rows: list[list[float]] = []

    def keep(module, arguments, output) -> None:
        mass_T = output[1][0, :, :, begin:end].float().sum(-1).mean(0)
        rows.append([mass_T[first:last].mean().item() for first, last in answers])

    # A hook for each layer, because the weights of all layers together need much memory.
    for layer in model.get_decoder().layers:
        layer.self_attn.register_forward_hook(keep)
    with torch.inference_mode():
        model.get_decoder()(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
    del model
    sampling.free_memory()
    return np.array(rows)


def instruction_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], instruction: str
) -> tuple[int, int]:
    """Range of the tokens in which the dialogue differs from the same dialogue with "0" in the instruction's place.

    Raises ValueError if the first message does not hold the instruction.
    """
    first, *others = messages
    if instruction not in first["content"]:
        raise ValueError("the first message does not hold the instruction")
    other = first["content"].replace(instruction, "0", 1)
    ids, changed = (
        dialog.encode_dialog(tokenizer, said)[0] for said in (messages, [first | {"content": other}, *others])
    )
    begin = _common(ids, changed)
    after = _common(ids[begin:][::-1], changed[begin:][::-1])
    return begin, len(ids) - after


def answer_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict]) -> list[tuple[int, int]]:
    """Range of tokens of each answer, with its closing token."""
    _, mask = dialog.encode_dialog(tokenizer, messages)
    edges = np.flatnonzero(np.diff([0, *mask, 0]))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def plot(masses: dict[str, np.ndarray], instruction: str) -> Figure:
    """A panel per version with layers by turns on one colour scale, and a panel with the mean over layers."""
    figure = Figure(figsize=(4 * len(masses) + 4, 4), layout="constrained")
    *panels, lines = figure.subplots(1, len(masses) + 1)
    top = 100 * max(mass_LN.max() for mass_LN in masses.values())
    for axes, (version, mass_LN) in zip(panels, masses.items(), strict=True):
        layers, answers = mass_LN.shape
        # The root of the mass: the first turn has several times that of the later ones.
        image = axes.imshow(100 * mass_LN, aspect="auto", origin="lower", norm=PowerNorm(0.5, 0, top), cmap="viridis",
                            extent=(0.5, answers + 0.5, 0.5, layers + 0.5))  # fmt: skip
        axes.set_title(f"{version}: attention on the instruction", fontsize=10)
        axes.set_ylabel("layer")
        lines.plot(range(1, answers + 1), 100 * mass_LN.mean(0), "o-", markersize=4, label=version)
    figure.colorbar(image, ax=panels, label="attention mass (%)")
    lines.set_title("mean over layers", fontsize=10)
    lines.set_ylabel("attention mass (%)")
    lines.set_ylim(bottom=0)
    lines.spines[["top", "right"]].set_visible(False)
    lines.legend(fontsize=8, frameon=False)
    for axes in (*panels, lines):
        axes.set_xlabel("turn of the dialogue")
        axes.set_xticks(range(1, answers + 1))
    figure.suptitle(f"First message: {instruction}", fontsize=9, parse_math=False)
    return figure
