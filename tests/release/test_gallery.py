"""The gallery finds each version as soon as its artifact is finished, and the release once it holds the chat model."""

import json
import shutil

import pytest

from data_cleaning.run_notice import announcing
from release.bundle import BundleError
from release.examples import EXAMPLES
from release.gallery import UNTIL_RELEASED, Gallery

LISTED = (("initial_model", "Base"), ("base_model", "Base"), ("sft_model", "SFT"), ("rlhf_v1/policy", "RLHF-v1"),
          ("chat_model", "Chat"))  # fmt: skip


@pytest.fixture
def filling(store, tmp_path):
    """(place, gallery): a store that is still empty, and a function that publishes an artifact of the finished one."""
    live = tmp_path / "live" / "tiny"

    def place(asset):
        shutil.copytree(store.folder(asset, "tiny"), live / asset)

    return place, Gallery(live / "bundle", live, LISTED)


def names(gallery):
    return [version.name for version in gallery.now().offered]


def test_versions_appear_as_they_are_made_the_latest_first(filling):
    place, gallery = filling
    assert names(gallery) == [] and gallery.now().examples == EXAMPLES
    for asset, offered in (("base_model", ["Base"]), ("sft_model", ["SFT", "Base"]), ("prompts", ["SFT", "Base"]),
                           ("rlhf_v1/policy", ["RLHF-v1", "SFT", "Base"])):  # fmt: skip
        place(asset)
        assert names(gallery) == offered
    assert gallery.now().version("RLHF-v1").artifact == "tiny/rlhf_v1/policy"


def test_an_artifact_without_record_or_weights_is_no_version(filling, store):
    place, gallery = filling
    place("base_model")
    place("sft_model")
    (gallery.folder / "sft_model" / "RECORD.json").unlink()
    assert names(gallery) == ["Base"]
    shutil.copytree(gallery.folder / "base_model", gallery.folder / "initial_model")
    assert gallery.now().version("Base").path == gallery.folder / "initial_model"
    (gallery.folder / "initial_model" / "model.safetensors").unlink()
    assert gallery.now().version("Base").path == gallery.folder / "base_model"


def test_the_chat_model_is_that_of_the_release_only_while_the_release_holds_it(filling, bundle):
    place, gallery = filling
    place("sft_model")
    place("chat_model")
    assert gallery.now().version("Chat").path == gallery.folder / "chat_model" and not gallery.now().card
    shutil.copytree(bundle, gallery.bundle)
    assert not gallery.now().card, "without its record it is not finished"
    (gallery.bundle / "RECORD.json").touch()
    released = gallery.now()
    assert released.version("Chat").path == gallery.bundle and "Hardware" in released.card and released.lineage
    record = gallery.folder / "chat_model" / "RECORD.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"content": "another"}))
    made_anew = gallery.now()
    assert made_anew.version("Chat").path == gallery.folder / "chat_model" and not made_anew.card
    assert made_anew.version("Chat").content == "another"


def test_a_version_whose_ancestor_was_made_anew_is_marked(filling):
    place, gallery = filling
    for asset in ("base_model", "sft_model", "rlhf_v1/policy"):
        place(asset)
    assert [version.title for version in gallery.now().offered] == ["RLHF-v1", "SFT", "Base"]
    record = gallery.folder / "base_model" / "RECORD.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"content": "another"}))
    now = gallery.now()
    assert [version.title for version in now.offered] == ["RLHF-v1 (earlier run)", "SFT (earlier run)", "Base"]
    assert now.version("RLHF-v1").about.endswith("made anew since.")


def test_the_best_temperature_of_a_version_is_where_it_begins(filling):
    place, gallery = filling
    place("base_model")
    place("sft_model")
    assert gallery.now().temperature("SFT") == UNTIL_RELEASED.temperature
    (gallery.folder / "temperature_curve").mkdir()
    (gallery.folder / "temperature_curve" / "choice.json").write_text('{"SFT": 0.3}')
    assert gallery.now().temperature("SFT") == 0.3
    assert gallery.now().temperature("Base") == UNTIL_RELEASED.temperature


def test_what_a_run_makes_is_told_while_it_lives(filling):
    _, gallery = filling
    assert gallery.making() is None
    with announcing(gallery.folder.parent) as say:
        say("sft_model (3 of 9)")
        assert gallery.making() == "sft_model (3 of 9)"
    assert gallery.making() is None


def test_without_a_store_an_unfinished_release_is_an_error(tmp_path):
    with pytest.raises(BundleError, match="materialize bundle"):
        Gallery(tmp_path).now()
