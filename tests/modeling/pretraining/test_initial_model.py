"""What pretraining starts from: a checkpoint, refused if its tokenizer cannot encode dialogues, or a mere shape."""

import json

import pytest
from transformers import AutoTokenizer, LlamaConfig

from modeling.core import dialog
from modeling.core.recipes import AdoptRecipe, ModelRecipe
from modeling.pretraining import initial_model
from tests.modeling.core.chat_templates import FAMILIES, GEMMA
from tests.modeling.core.test_chat_templates import theirs
from tests.modeling.core.test_dialog import DIALOGUES
from tests.modeling.core.toy_tokenizers import made
from tests.modeling.pretraining.test_model import SMALL

ADOPT = AdoptRecipe(source="some-chat", context=64)


def test_a_template_without_a_place_for_system_prompts_is_refused(tmp_path, log):
    tokenizer = made("zephyr", "metaspace first")
    tokenizer.save_pretrained(tmp_path / "raw", save_jinja_files=True)
    LlamaConfig(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "raw")
    (tmp_path / "raw" / "chat_template.jinja").write_text(GEMMA)
    with pytest.raises(
        ValueError, match="some-chat cannot be adopted: .*refuses a dialogue of system, .*not supported"
    ):
        initial_model.run(ADOPT, {"adopted_checkpoint": tmp_path}, tmp_path / "out", log)


def test_random_weights_are_a_shape_alone(tmp_path, log):
    assert initial_model.run(SMALL, {}, tmp_path, log) == {"weights": "random"}
    assert [path.name for path in tmp_path.iterdir()] == ["shape.json"]
    assert ModelRecipe(**json.loads((tmp_path / "shape.json").read_text())) == SMALL


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.system])
def test_a_tokenizer_of_transformers_5_reads_as_before_when_it_was_saved(name, tmp_path):
    tokenizer = made(name, "metaspace first")
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    dialog.check_tokenizer(loaded)
    for messages in DIALOGUES:
        assert dialog.encode_dialog(loaded, messages) == dialog.encode_dialog(tokenizer, messages)
        assert dialog.encode_dialog(loaded, messages)[0] == theirs(tokenizer, messages)
