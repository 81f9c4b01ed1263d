"""What the page tells about an answer on demand: its speed, both reward models' scores, and its lineage."""

import re
import shutil

import pytest
from gradio_client import Client

from modeling.rlhf import scoring
from modeling.rlhf.pairs import KINDS
from release import answer_details
from release.answer_details import Scorer, describe
from release.gallery import Gallery
from release.reward_models import last_reward_models
from tests.modeling import toy_rlhf
from tests.release.conftest import served
from tests.release.test_demo import say
from tests.release.test_gallery import LISTED
from tests.shown import Shown


@pytest.fixture(scope="module")
def reward_models(tmp_path_factory):
    """A helpfulness model that likes "blue" and a safety model that likes "green", by kind."""
    made = toy_rlhf.build(tmp_path_factory.mktemp("world"), prompts=4)
    return {kind: made[f"{kind}_reward_model"] for kind in KINDS}


@pytest.fixture
def gallery(store, reward_models, tmp_path):
    """A store with an SFT model and the reward models of round 1; those of round 2 are not finished."""
    folder = tmp_path / "live" / "tiny"
    shutil.copytree(store.folder("sft_model", "tiny"), folder / "sft_model")
    for number, kinds in ((1, KINDS), (2, KINDS[:1])):
        for kind in kinds:
            shutil.copytree(reward_models[kind], folder / f"rlhf_v{number}" / f"{kind}_reward_model")
            (folder / f"rlhf_v{number}" / f"{kind}_reward_model" / "RECORD.json").touch()
    return Gallery(folder / "bundle", folder, LISTED)


def turns(answer: str, **fields) -> list[dict]:
    figures = {"tokens": 12, "seconds": 0.5}
    return [
        {"role": "user", "content": "Which colours do you see now?"},
        {"role": "assistant", "content": answer, "by": "SFT", "version_content": "0"} | figures | fields,
    ]


def shown_scores(text: str) -> list[float]:
    found = re.search(r"round 1, from 0 to 1: helpfulness (\d\.\d\d) · safety (\d\.\d\d)", text)
    return [float(score) for score in found.groups()]


def test_the_scores_are_those_of_the_last_finished_round(gallery, reward_models):
    assert last_reward_models(gallery.folder).round == 1
    for answer in ("blue blue blue", "green green green"):
        dialogue = turns(answer)
        told = shown_scores(describe(Scorer(gallery), dialogue))
        messages = [{name: turn[name] for name in ("role", "content")} for turn in dialogue]
        wanted = [
            scoring.sigmoid(scoring.score(*scoring.load(reward_models[kind]), [messages])).item() for kind in KINDS
        ]
        assert told == pytest.approx(wanted, abs=0.006)
        liked = told[0] > told[1]
        assert liked == (answer == "blue blue blue")


def test_without_reward_models_a_line_says_so(bundle, tmp_path, gallery):
    assert "No reward model is at hand" in Scorer(Gallery(bundle)).line([])
    shutil.rmtree(gallery.folder / "rlhf_v1")
    assert last_reward_models(gallery.folder) is None


def test_reward_models_that_cannot_be_read_are_a_line(gallery):
    (gallery.folder / "rlhf_v1" / "safety_reward_model" / "model.safetensors").write_bytes(b"no weights")
    assert "gave no score (" in Scorer(gallery).line(turns("blue"))


def test_speed_and_origin_are_told(gallery, monkeypatch):
    version = gallery.now().version("SFT")
    scorer = Scorer(gallery)
    told = Shown(describe(scorer, turns("blue", version_content=version.content))).text
    assert "Answer 1 of this dialogue, by SFT: 12 tokens in 0.50 s, 24 tokens/s." in told
    assert f"Made by tiny/sft_model, content {version.content[:12]}" in told
    assert "make lineage FILE=" in told and told.endswith("/tiny/sft_model")
    monkeypatch.setenv("CRIA_STORE", "/data/elsewhere")
    assert "make lineage FILE=$CRIA_STORE/tiny/sft_model" in answer_details.origin(
        gallery, {"version_content": version.content}
    )
    assert "not in the menu now" in describe(scorer, turns("blue"))
    old = turns("blue")
    del old[1]["tokens"], old[1]["seconds"]
    assert "its speed was not kept" in describe(scorer, old)
    assert "There is no answer yet" in describe(scorer, [])


def test_the_page_scores_only_when_asked(gallery):
    with served(gallery) as url:
        client = Client(url, verbose=False)
        assert "There is no answer yet" in client.predict(api_name="/details")
        say(client, "Which colours do you see now?", version="SFT")
        told = client.predict(api_name="/details")
        assert len(shown_scores(told)) == 2 and "20 tokens in" in told
