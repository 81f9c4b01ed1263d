"""An adopted tokenizer that cannot encode dialogues is refused before anything is trained on it."""

import pytest
from transformers import AutoTokenizer

from modeling.core import dialog
from modeling.core.recipes import AdoptRecipe
from modeling.pretraining import base_model
from tests.modeling.core.chat_templates import FAMILIES, GEMMA
from tests.modeling.core.test_chat_templates import theirs
from tests.modeling.core.test_dialog import DIALOGUES
from tests.modeling.core.toy_tokenizers import made

ADOPT = AdoptRecipe(source="some-chat")


def test_a_template_without_a_place_for_system_prompts_is_refused(tmp_path, log):
    tokenizer = made("zephyr", "metaspace first")
    tokenizer.save_pretrained(tmp_path, save_jinja_files=True)
    (tmp_path / "chat_template.jinja").write_text(GEMMA)
    with pytest.raises(
        ValueError, match="some-chat cannot be adopted: .*refuses a dialogue of system, .*not supported"
    ):
        base_model.run(ADOPT, {"tokenizer": tmp_path}, tmp_path / "out", log)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.system])
def test_a_tokenizer_of_transformers_5_reads_as_before_when_it_was_saved(name, tmp_path):
    tokenizer = made(name, "metaspace first")
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    dialog.check_tokenizer(loaded)
    for messages in DIALOGUES:
        assert dialog.encode_dialog(loaded, messages) == dialog.encode_dialog(tokenizer, messages)
        assert dialog.encode_dialog(loaded, messages)[0] == theirs(tokenizer, messages)
