"""Figure 10's measure, against models whose attention is known."""

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from modeling.core import dialog
from modeling.evaluation import attention_picture
from modeling.pretraining import tokenizer as tokenizers
from tests.modeling import toy_rlhf

SAID = "Be wise and responsible."
TALK = [
    {"role": "system", "content": SAID},
    {"role": "user", "content": "Which colours?"},
    {"role": "assistant", "content": "red blue"},
    {"role": "user", "content": "And here?"},
    {"role": "assistant", "content": "green white red"},
]
INSIDE = [{"role": "user", "content": f"{SAID}\nWhich colours?"}, *TALK[2:]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tokenizers.train([" ".join(message["content"] for message in TALK)] * 40, 600)
    torch.manual_seed(1)
    made = LlamaForCausalLM(toy_rlhf.config(tokenizer, 32))
    with torch.no_grad():
        made.model.layers[0].self_attn.q_proj.weight.zero_()  # the first layer attends to all tokens alike
    toy_rlhf.save(made, tokenizer, folder)
    return folder, tokenizer


@pytest.mark.parametrize("messages", [TALK, INSIDE])
def test_the_tokens_of_the_instruction_are_found(model, messages):
    _, tokenizer = model
    ids, _ = dialog.encode_dialog(tokenizer, messages)
    begin, end = attention_picture.instruction_tokens(tokenizer, messages, SAID)
    assert tokenizer.decode(ids[begin:end]).strip() == SAID
    with pytest.raises(ValueError, match="does not hold"):
        attention_picture.instruction_tokens(tokenizer, messages, "Speak French.")


def test_uniform_attention_gives_the_instruction_its_share_of_the_tokens_before(model):
    folder, tokenizer = model
    mass_LN = attention_picture.instruction_mass(folder, TALK, SAID)
    assert mass_LN.shape == (2, 2)
    begin, end = attention_picture.instruction_tokens(tokenizer, TALK, SAID)
    answers = attention_picture.answer_tokens(tokenizer, TALK)
    ids, _ = dialog.encode_dialog(tokenizer, TALK)
    assert [dialog.decode_answer(tokenizer, ids[a:b]) for a, b in answers] == ["red blue", "green white red"]
    expected = [np.mean([(end - begin) / (place + 1) for place in range(*span)]) for span in answers]
    np.testing.assert_allclose(mass_LN[0], expected, rtol=1e-4)
    assert not np.allclose(mass_LN[1], expected, rtol=1e-4), "the second layer has weights of its own"


def test_all_versions_read_one_dialogue_and_the_picture_is_the_same_again(model, tmp_path):
    folder, _ = model
    drawn = [
        attention_picture.draw({"SFT": folder, "Chat": folder}, TALK[:-1], "green", "Be wise and responsible.", path)
        for path in (tmp_path / "a.png", tmp_path / "b.png")
    ]
    assert drawn[0] == drawn[1] and drawn[0]["SFT"] == drawn[0]["Chat"] and len(drawn[0]["SFT"]) == 2
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
