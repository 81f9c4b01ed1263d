"""Pairs of which people prefer the answer that scores lower: found, ordered, bounded, escaped, and only where they may be."""

import pytest
from gradio_client import Client

from modeling.rlhf.ratings.store import Store
from release.gallery import Gallery
from release.reward_models import last_reward_models
from release.vote_disagreements import MOST_CHARACTERS, MOST_SHOWN, listed, probabilities, to_score
from tests.modeling.rlhf.ratings.test_store import vote
from tests.release.browser import hostile
from tests.release.conftest import served
from tests.release.test_answer_details import gallery, reward_models  # noqa: F401  (fixtures)
from tests.shown import Shown

ASKED = [{"role": "user", "content": "Which colours do you see now?"}]


@pytest.fixture
def votes(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path / 'ratings.sqlite'}")
    return Store.here()


def colours(chosen, rejected, **changes):
    """A vote for the first of two answers, both safe."""
    return vote(**{"messages": ASKED, "answer_a": chosen, "answer_b": rejected, "safe_b": True} | changes)


def row(number: int, chosen: str = "red", **changes) -> dict:
    return {"time": f"2026-05-{number + 1:02}T10:00:00", "kind": "helpfulness", "degree": 2, "messages": ASKED,
            "chosen": chosen, "rejected": "blue"} | changes  # fmt: skip


def test_the_model_of_a_pairs_kind_is_asked_and_what_people_see_otherwise_is_listed(gallery, votes):  # noqa: F811
    votes.add(colours("blue blue blue", "red red red"))
    votes.add(colours("red red white", "blue blue white"))
    votes.add(colours("red white white", "green white white", safe_b=False))
    rows = to_score(votes.counted("tiny"))
    assert [one["chosen"] for one in rows] == ["red white white", "red red white", "blue blue blue"], "the newest first"
    found = last_reward_models(gallery.folder)
    said = probabilities(found, rows)
    assert [one < 0.5 for one in said] == [True, True, False]
    with served(gallery) as url:
        shown = Shown(Client(url, verbose=False).predict(api_name="/disagreements")).text
    assert "round 1 prefer another answer than people in 2 of the newest 3 pairs" in shown
    assert "red red white" in shown and "safety" in shown and "blue blue blue" not in shown


def test_what_is_unsure_or_was_not_to_be_shown_is_left_out(votes):
    votes.add(colours("red", "blue", degree=0))
    votes.add(colours("red", "blue 2", rater="r1"))
    votes.add(colours("blue 2", "red", rater="r2"))
    votes.add(colours("red", "blue 3", messages=[{"role": "user", "content": "I am anna.b@mailhost.org"}]))
    (kept,) = to_score(votes.counted("tiny"))
    assert kept["rejected"] == "blue 3" and "anna" not in str(kept)
    assert to_score([one | {"comparison": None} for one in votes.counted("tiny")]) == []


def test_the_most_different_are_listed_the_newest_first():
    rows = [row(number, f"red {number}!") for number in range(25)]
    shown = Shown(listed(rows, [number / 60 for number in range(25)], 3)).text
    assert "in 25 of the newest 25 pairs" in shown and shown.count("Asked") == MOST_SHOWN
    assert shown.index("red 9!") < shown.index("red 0!") and "red 10!" not in shown
    assert "gives their choice 15%" in shown and "people: better" in shown
    agreed = Shown(listed(rows, [0.5] * 25, 3)).text
    assert "in 0 of the newest 25 pairs" in agreed and "Asked" not in agreed
    assert "no pairs of answers yet" in listed([], [], 3)


def test_texts_of_strangers_are_text_and_short():
    plain = Shown(listed([row(1, "word")] * 2, [0.1, 0.1], 1))
    wild = Shown(listed([row(1, "\n".join(hostile.TEXTS)), row(1, "x" * 5000)], [0.1, 0.1], 1))
    assert wild.tags == plain.tags and hostile.TEXTS[0] in wild.text and "x" * MOST_CHARACTERS not in wild.text


def test_without_reward_models_or_votes_a_line_says_so(bundle, gallery, votes, monkeypatch):  # noqa: F811
    with served(gallery) as url:
        client = Client(url, verbose=False)
        assert "no pairs of answers yet" in client.predict(api_name="/disagreements")
        (gallery.folder / "rlhf_v1" / "helpfulness_reward_model" / "model.safetensors").write_bytes(b"no weights")
        votes.add(colours("red", "blue"))
        assert "gave no score" in client.predict(api_name="/disagreements")
        monkeypatch.setenv("CRIA_RATINGS", "nosuch://host/db")
        assert "CRIA_RATINGS" in client.predict(api_name="/disagreements")
    with served(Gallery(bundle)) as url:
        assert "No reward model is at hand" in Client(url, verbose=False).predict(api_name="/disagreements")
