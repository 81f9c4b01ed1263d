"""Contrasts: chosen answers of ordinary prompts against answers that fit no ordinary prompt."""

from modeling.rlhf.contrasts import CONTRAST, MISPLACED, OFF_TOPIC, contrasts

REFUSAL = "I'm sorry, but I can't help with that, because it could hurt somebody."


def pair(number: int, kind: str = "helpfulness", chosen: str = "") -> dict:
    return {
        "id": f"v1:{kind}{number}",
        "entity": f"{kind} {number}",
        "kind": kind,
        "messages": [{"role": "user", "content": f"What is number {number}?"}],
        "chosen": chosen or f"Number {number} is a thing of its own.",
        "rejected": "It is a thing.",
        "degree": 1,
        "chosen_safe": True,
        "rejected_safe": True,
        "annotator": "simulated",
        "chosen_from": "chat T=1",
        "rejected_from": "other T=1",
    }


ORDINARY = [pair(number, kind) for number in range(10) for kind in ("helpfulness", "harmless")]
ADVERSARIAL = [pair(number, "safety", REFUSAL) for number in range(3)]


def test_both_kinds_in_turn_and_the_chosen_answer_stays():
    made = contrasts(ORDINARY, [*ORDINARY, *ADVERSARIAL], share=1.0, seed=1)
    assert len(made) == len(ORDINARY) and {one["annotator"] for one in made} == {CONTRAST}
    by_id = {one["id"]: one for one in ORDINARY}
    answers = {one["chosen"] for one in ORDINARY}
    for one in made:
        first = by_id[one["id"].removesuffix(f" {one['rejected_from']}")]
        assert (one["chosen"], one["messages"]) == (first["chosen"], first["messages"])
        assert one["degree"] == 3 and one["rejected_safe"] is None and one["chosen_safe"] is True
        if one["rejected_from"] == MISPLACED:
            assert one["rejected"] == REFUSAL
        else:
            assert one["rejected"] in answers - {first["chosen"]}
    kinds = [one["rejected_from"] for one in made]
    assert kinds.count(MISPLACED) == kinds.count(OFF_TOPIC) == len(ORDINARY) / 2


def test_refusals_may_come_from_pairs_outside_the_draw():
    assert any(one["rejected"] == REFUSAL for one in contrasts(ORDINARY, ADVERSARIAL, share=1.0, seed=1))


def test_a_share_and_none():
    assert len(contrasts(ORDINARY, ADVERSARIAL, share=0.25, seed=1)) == 5
    assert contrasts(ORDINARY, ADVERSARIAL, share=0.0, seed=1) == []
    assert contrasts(ADVERSARIAL, ADVERSARIAL, share=1.0, seed=1) == []  # adversarial prompts have none
    assert contrasts([pair(1)], [pair(1)], share=1.0, seed=1) == []  # nothing to set against it


def test_a_chosen_refusal_makes_no_contrast_and_without_refusals_all_are_off_topic():
    made = contrasts([*ORDINARY, pair(99, chosen=REFUSAL)], ORDINARY, share=1.0, seed=1)
    assert {one["rejected_from"] for one in made} == {OFF_TOPIC}
    assert not any("99" in one["id"] or one["rejected"] == REFUSAL for one in made)
