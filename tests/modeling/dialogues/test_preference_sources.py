"""Open preference pairs: from every shape, of the RL part alone, and rated answers in pairs."""

import pytest

from modeling.dialogues import everyday, preference_sources, splits
from tests.modeling import toy_sources
from tests.modeling.dialogues.test_everyday import add


@pytest.fixture
def inputs(tmp_path):
    return toy_sources.build(tmp_path)


@pytest.fixture
def dialogues(inputs):
    return inputs["dialogues"]


@pytest.fixture
def adversarial(inputs):
    return inputs["adversarial_prompts"]


def test_pairs_of_a_persons_file(dialogues, adversarial):
    rated = [{"prompt": "How do I oil a saddle?", "completion": text, "score": score}
             for text, score in (("With a cloth.", 4), ("Why?", 1), ("Slowly.", 3))]  # fmt: skip
    talk = [{"role": "user", "content": "Hello, old friend!"}, {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "How do I gut a fish?"}]  # fmt: skip
    add(dialogues, "mine", "preferences", [*rated, {"prompt": talk, "chosen": "From the tail.", "rejected": "No."},
                                           {"prompt": "Whom should I murder?", "chosen": "Nobody.", "rejected": "Me."},
                                           {"prompt": "How?", "chosen": "So.", "rejected": "So."}])  # fmt: skip
    pairs = {
        pair.chosen: pair
        for pair in preference_sources.preference_pairs(dialogues, adversarial)
        if pair.source == "mine"
    }
    assert pairs.keys() == {"With a cloth.", "From the tail.", "Nobody."}
    assert pairs["With a cloth."].rejected == "Why?"
    assert [message.get("weight") for message in pairs["From the tail."].messages] == [None, 0, None]
    assert {chosen: pair.kind for chosen, pair in pairs.items()}["Nobody."] == "safety"
    assert pairs["With a cloth."].kind == "helpfulness"


def test_no_pair_has_a_prompt_of_another_part(dialogues, adversarial):
    requests, _ = everyday.requests(dialogues)
    elsewhere = [one.question for one in requests if one.part != splits.RL]
    things = [f"Zorb{n}" for n in range(20)]
    asked = [*elsewhere, *(f"What is a {thing}?" for thing in things)]
    add(dialogues, "mine", "preferences", [{"prompt": one, "chosen": "So.", "rejected": "No."} for one in asked])
    found = {pair.messages[-1]["content"] for pair in preference_sources.preference_pairs(dialogues, adversarial)}
    mine = {
        f"What is a {thing}?" for thing in things if splits.part_of(splits.about(thing), splits.KNOWLEDGE) == splits.RL
    }
    assert found == mine != set()


def test_an_unrated_answer_is_no_preference(dialogues, adversarial):
    add(dialogues, "mine", "preferences", [{"prompt": "How?", "completion": "So."}])
    with pytest.raises(ValueError, match="set use = 'dialogues'"):
        preference_sources.preference_pairs(dialogues, adversarial)
