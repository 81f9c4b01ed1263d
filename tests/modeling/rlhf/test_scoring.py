import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from modeling.core import batching, dialog
from modeling.rlhf import scoring
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return toy_rlhf.build(tmp_path_factory.mktemp("world"), prompts=8)


def talk(*texts):
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


DIALOGS = [
    talk("Which colours do you see?", "blue"),
    talk("Which colours do you see today?", "red red blue green white black grey red red blue"),
    talk("Which?", "red", "And now, what colours do you see here?", "blue blue blue"),
]


def test_a_score_does_not_depend_on_its_batch(world, monkeypatch):
    model, tokenizer = scoring.load(world["helpfulness_reward_model"])
    alone = [scoring.score(model, tokenizer, [messages])[0] for messages in DIALOGS]
    assert len(set(alone)) == 3
    assert scoring.score(model, tokenizer, DIALOGS) == pytest.approx(alone, abs=1e-6)
    assert scoring.score(model, tokenizer, DIALOGS[::-1]) == pytest.approx(alone[::-1], abs=1e-6)
    monkeypatch.setattr(batching, "CPU_TOKENS", 1)
    assert scoring.score(model, tokenizer, DIALOGS) == pytest.approx(alone, abs=1e-6)


def test_random_weights_and_padding(world):
    """A model whose every weight matters, in bfloat16 products: fillers change nothing beyond rounding."""
    torch.manual_seed(0)
    model, tokenizer = scoring.load(world["helpfulness_reward_model"])
    for parameter in model.parameters():
        if parameter.dim() == 2:  # norms keep their ones
            torch.nn.init.normal_(parameter, std=0.3)
    alone = [scoring.score(model, tokenizer, [messages])[0] for messages in DIALOGS]
    assert scoring.score(model, tokenizer, DIALOGS) == pytest.approx(alone, abs=0.02)
    assert max(alone) - min(alone) > 0.2


def test_the_score_is_read_at_the_closing_token_as_transformers_does(world):
    model, tokenizer = scoring.load(world["helpfulness_reward_model"])
    ids, mask = dialog.encode_dialog(tokenizer, DIALOGS[1])
    assert ids[-1] == dialog.closing_token_id(tokenizer) and mask[-1] == 1
    assert scoring.encode(tokenizer, DIALOGS[1], 64) == (ids, False)
    reference = AutoModelForSequenceClassification.from_pretrained(world["helpfulness_reward_model"])
    padded = torch.tensor([ids + [tokenizer.pad_token_id] * 5])
    with torch.inference_mode():
        expected = reference(input_ids=padded, attention_mask=(padded != tokenizer.pad_token_id).long()).logits.item()
    assert scoring.score(model, tokenizer, [DIALOGS[1]]) == pytest.approx([expected], abs=0.02)


def test_a_template_that_goes_on_after_the_answer(world):
    _, tokenizer = scoring.load(world["helpfulness_reward_model"])
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    ids, _ = scoring.encode(tokenizer, DIALOGS[0], 64)
    assert ids[-1] == dialog.closing_token_id(tokenizer)
    assert len(dialog.encode_dialog(tokenizer, DIALOGS[0])[0]) > len(ids)


def test_too_long_dialogues_keep_their_end(world):
    _, tokenizer = scoring.load(world["helpfulness_reward_model"])
    whole, _ = scoring.encode(tokenizer, DIALOGS[2], 64)
    assert scoring.encode(tokenizer, DIALOGS[2], 10) == (whole[-10:], True)


def test_models_with_more_outputs_are_refused(world, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(
        world["helpfulness_reward_model"], num_labels=2, ignore_mismatched_sizes=True
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="2 outputs"):
        scoring.load(tmp_path)


def test_piecewise_by_hand():
    safety = [0.9, 0.10, 0.14, 0.15, 0.16]
    helpfulness = [0.2, 0.8, 0.8, 0.8, 0.8]
    adversarial = [True, True, False, False, False]
    rewards = scoring.piecewise(safety, helpfulness, adversarial)
    # Adversarial: safety. Below 0.15: safety. At 0.15 and above: helpfulness.
    assert rewards.tolist() == pytest.approx([0.9, 0.10, 0.14, 0.8, 0.8])
    assert scoring.piecewise([0.4], [0.9], [False], threshold=0.5).tolist() == pytest.approx([0.4])


def test_logit_undoes_the_sigmoid():
    assert scoring.logit([0.15]).item() == pytest.approx(math.log(0.15 / 0.85))
    assert scoring.logit(scoring.sigmoid([-3.0, 0.0, 2.5])).tolist() == pytest.approx([-3.0, 0.0, 2.5], abs=1e-5)
    assert torch.isfinite(scoring.logit([0.0, 1.0])).all()


def test_whiten_by_hand():
    # Mean 2, variance (4 + 0 + 4) / 3.
    assert scoring.whiten(torch.tensor([0.0, 2.0, 4.0])).tolist() == pytest.approx([-1.224745, 0.0, 1.224745], abs=1e-5)
    assert scoring.whiten(torch.tensor([3.0, 3.0])).tolist() == [0.0, 0.0]
