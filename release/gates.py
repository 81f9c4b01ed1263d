"""Gate of the release: what transformers loads from the bundle is the chat model that was evaluated."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import dialog

Verdict = tuple[bool, str, dict]


def loads_as_released(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The bundle loads and gives the chat model's logits, bit for bit, for the same ids."""
    message = [{"role": "user", "content": "What is a llama?"}]
    logits, ids = [], []
    for folder in (artifact, inputs["chat_model"]):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids.append(dialog.encode_prompt(tokenizer, message))
        with torch.inference_mode():
            logits.append(AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=torch.tensor([ids[-1]])).logits)
    if ids[0] != ids[1]:
        return False, "the bundle's tokenizer gives other ids than the chat model's", {}
    missing = [name for name in ("MODEL_CARD.md", "LINEAGE.json", "versions.json") if not (artifact / name).is_file()]
    if missing:
        return False, f"the bundle lacks {', '.join(missing)}", {}
    same = torch.equal(*logits)
    return same, "logits equal those of the chat model" if same else "logits differ from the chat model's", {}
