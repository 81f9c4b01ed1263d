"""Gate of the release: the bundle contains the chat model that was evaluated."""

import datetime
from pathlib import Path
from typing import Any

import jinja2
import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from data_cleaning.verdict import Verdict
from modeling.core import dialog

DIALOGUE = [
    {"role": "user", "content": "What is a llama?"},
    {"role": "assistant", "content": "A camelid of South America."},
    {"role": "user", "content": "And a cria?"},
]


def loads_as_released(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The bundle loads, and its ids and logits equal those of the chat model bit for bit."""
    message = [{"role": "user", "content": "What is a llama?"}]
    logits, ids = [], []
    for folder in (artifact, inputs["chat_model"]):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids.append(dialog.encode_prompt(tokenizer, message))
        with torch.inference_mode():
            logits.append(AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=torch.tensor([ids[-1]])).logits)
    if ids[0] != ids[1]:
        return False, "the bundle's tokenizer gives other ids than the chat model's", {}
    if fault := template_fault(AutoTokenizer.from_pretrained(artifact)):
        return False, f"other servers cannot use the bundle's chat template: {fault}", {}
    missing = [name for name in ("MODEL_CARD.md", "LINEAGE.json", "versions.json") if not (artifact / name).is_file()]
    if missing:
        return False, f"the bundle lacks {', '.join(missing)}", {}
    same = torch.equal(*logits)
    return same, "logits equal those of the chat model" if same else "logits differ from the chat model's", {}


def template_fault(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Returns why a server that renders the chat template itself gets other ids than in training, or None.

    Such servers support Jinja2 with loop controls and the two functions that templates may call, but not the tags that
    transformers adds.
    """
    elsewhere = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    elsewhere.globals |= {"raise_exception": _raise, "strftime_now": datetime.datetime.now().strftime}
    try:
        template = elsewhere.from_string(tokenizer.chat_template)
        text = template.render(messages=DIALOGUE, add_generation_prompt=True, **tokenizer.special_tokens_map)
    except jinja2.TemplateError as error:
        return str(error)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return None if ids == dialog.encode_prompt(tokenizer, DIALOGUE) else "it gives other ids than those trained on"


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
