import json
import os
import shutil
import stat
from dataclasses import replace

import pytest
import torch
from jinja2.sandbox import SandboxedEnvironment
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from data_cleaning.files import sha256_of
from modeling.core import dialog
from release import bundle as bundles
from release import export, gates, licenses, lineage
from release.examples import EXAMPLES
from tests.release import toy_store
from tests.release.toy_store import release


def test_transformers_loads_the_bundle_and_every_version_with_the_logits_of_its_artifact(store, bundle):
    artifacts = {"chat_model": "chat_model", "policy_1": "rlhf_v1/policy", "sft_model": "sft_model"}
    seen = []
    for name, asset in artifacts.items():
        path = bundles.read(bundle).version(name).path
        tokenizer = AutoTokenizer.from_pretrained(path)
        ids = torch.tensor([dialog.encode_prompt(tokenizer, [{"role": "user", "content": "What is a cria?"}])])
        assert ids.tolist()[0] == tokenizer.apply_chat_template(
            [{"role": "user", "content": "What is a cria?"}], add_generation_prompt=True, return_dict=False
        )
        with torch.inference_mode():
            released = AutoModelForCausalLM.from_pretrained(path)(input_ids=ids).logits
            made = AutoModelForCausalLM.from_pretrained(store.folder(asset, "tiny"))(input_ids=ids).logits
        assert torch.equal(released, made)
        seen.append(released)
    assert not torch.equal(seen[0], seen[1])


DIALOGUES = [
    [("user", "What is a cria?")],
    [("system", "Be brief."), ("user", "\n What is a llama?  ")],
    [("user", "Hi"), ("assistant", ""), ("user", "Tell me\n\nabout the sea – 日本 🙂"), ("assistant", "{{ 7 }}"), ("user", "x")],
]  # fmt: skip


@pytest.mark.parametrize("turns", DIALOGUES)
def test_a_server_with_plain_jinja_reads_the_ids_that_were_trained(bundle, turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    for version in bundles.read(bundle).offered:
        tokenizer = AutoTokenizer.from_pretrained(version.path)
        template = SandboxedEnvironment().from_string((version.path / "chat_template.jinja").read_text())
        text = template.render(messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == dialog.encode_prompt(tokenizer, messages)


@pytest.mark.parametrize("template, told", [
    ("{% generation %}{{ messages }}{% endgeneration %}", "unknown tag 'generation'"),
    ("{% for m in messages %}{{ ('!' if tools is defined else '') + m['content'] + eos_token }}{% endfor %}",
     "it gives other ids"),
    ("{{ raise_exception('never') }}", "never"),
])  # fmt: skip
def test_the_gate_stops_a_template_that_no_other_server_can_use(bundle, template, told):
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    assert gates.template_fault(tokenizer) is None
    tokenizer.chat_template = template
    assert told in gates.template_fault(tokenizer)


def test_every_file_of_a_release_may_be_read_by_other_users(store, tmp_path, log):
    before = os.umask(0o077)
    try:
        release(store, tmp_path / "out", log)
    finally:
        os.umask(before)
    paths = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o755}


def test_generate_ends_answers_by_itself(bundle):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(bundle), AutoTokenizer.from_pretrained(bundle)
    settings = model.generation_config
    assert settings.eos_token_id == dialog.closing_token_id(tokenizer)
    assert settings.pad_token_id == tokenizer.pad_token_id
    assert (settings.temperature, settings.top_p, settings.max_new_tokens) == (0.8, 0.9, 24)


def test_metrics_state_what_is_there(bundle_metrics):
    out, metrics = bundle_metrics
    listed = json.loads((out / "LINEAGE.json").read_text())
    assert metrics["versions_bundled"] == 5
    assert metrics["reload_logits_equal"] == 1
    assert metrics["sources"] == len(listed["sources"]) == 5
    assert metrics["bytes"] == sum(entry["bytes"] for entry in listed["files"].values())


def test_examples_of_the_chat_are_released(bundle):
    assert bundles.read(bundle).examples == EXAMPLES


def test_versions_are_named_as_in_the_tables_the_latest_first(bundle):
    titles = [version.title for version in bundles.read(bundle).offered]
    assert titles == ["Chat", "PPO", "RLHF-v1", "SFT", "Base"]


def test_base_is_the_first_of_its_roles_with_weights(store, tmp_path):
    (tmp_path / "config.json").touch()
    inputs = {**toy_store.inputs(store, []), "initial_model": tmp_path}
    assert export.version_roles(inputs)[-1] == "base_model"
    (tmp_path / "model.safetensors").touch()
    assert export.version_roles(inputs)[-1] == "initial_model" and "base_model" not in export.version_roles(inputs)


def test_the_release_begins_with_the_temperatures_that_were_chosen(copied, tmp_path, log):
    (copied.folder("temperature_curve", "tiny") / "choice.json").write_text('{"Chat": 0.3, "SFT": 0.5}')
    release(copied, tmp_path / "out", log)
    opened = bundles.read(tmp_path / "out")
    assert [opened.temperature(name) for name in ("chat_model", "sft_model", "policy_1")] == [0.3, 0.5, 0.3]
    assert GenerationConfig.from_pretrained(tmp_path / "out").temperature == 0.3


def test_a_version_over_the_bound_is_named_and_not_bundled(store, tmp_path, log):
    metrics = release(store, tmp_path / "out", log, replace(toy_store.RECIPE, max_version_bytes=1))
    opened = bundles.read(tmp_path / "out")
    assert (metrics["versions_bundled"], metrics["versions_named"]) == (1, 5)
    assert [version.name for version in opened.offered] == ["chat_model"]
    content = lineage.read(store.folder("rlhf_v1/policy", "tiny")).record["content"]
    assert next(v.content for v in opened.versions if v.name == "policy_1") == content
    with pytest.raises(bundles.BundleError, match="holds no version 'policy_1', only chat_model"):
        opened.version("policy_1")


def test_every_file_leads_down_to_the_sources(bundle):
    listed = json.loads((bundle / "LINEAGE.json").read_text())
    for name, entry in listed["files"].items():
        assert sha256_of(bundle / name) == entry["sha256"]
    start = listed["files"]["model.safetensors"]["from"]
    todo, reached = [start], set()
    while todo:
        name = todo.pop()
        reached.add(name)
        todo += [lineage.name_of(parent) for parent in listed["artifacts"][name]["parents"].values()]
    assert {"base/sources", "shared/dialogues"} <= reached
    assert {s["name"] for s in listed["sources"] if s["artifact"] in reached} >= {"wiki", "bible", "chats"}


@pytest.mark.parametrize("name, asks", [
    ("CC-BY-ND-4.0", "attribution; no adaptations passed on"),
    ("CC BY-NC-ND 4.0", "no commercial use; no adaptations passed on"),
    ("CC-BY-NC-SA-4.0", "no commercial use; share adaptations alike"),
    ("Limited evaluation licence", "see its text"),
    ("Permitted by Acme", "see its text"),
    ("MIT", "keep the notice"),
    ("CC BY 4.0", "keep the notice"),
    ("GPLv3", "copyleft: derived works under the same terms"),
    ("CC0-1.0", "none"),
    ("public domain (King James Version)", "none"),
    (" ", "unknown: no licence stated"),
])  # fmt: skip
def test_what_a_licence_asks_for_is_read_from_whole_words(name, asks):
    assert licenses.obligations(name) == asks


def test_a_release_states_the_licences_of_today_and_is_stopped_by_one_that_is_gone(store, tmp_path, log):
    """Not those of the day on which a source was fetched: what was fetched is reused when a licence is corrected."""
    mended = replace(toy_store.RECIPE, licenses=(("wiki", "base", "CC0-1.0 (corrected)"),))
    release(store, tmp_path / "out", log, mended)
    for name in ("MODEL_CARD.md", "LINEAGE.md"):
        assert "| CC0-1.0 (corrected) |" in (tmp_path / "out" / name).read_text()
    listed = json.loads((tmp_path / "out" / "LINEAGE.json").read_text())["sources"]
    assert next(source["license"] for source in listed if source["name"] == "wiki") == "CC0-1.0 (corrected)"
    with pytest.raises(licenses.UnlicensedError, match="no licence is stated for wiki"):
        release(store, tmp_path / "again", log, replace(toy_store.RECIPE, licenses=(("wiki", "base", ""),)))


def test_a_source_without_a_licence_stops_the_stage(copied, tmp_path, log):
    listed = [toy_store.source("wiki", "corpus"), toy_store.source("found", "corpus", "")]
    copied.sources("sources", "base", listed)
    with pytest.raises(licenses.UnlicensedError, match="found"):
        release(copied, tmp_path / "out", log)
    shutil.rmtree(tmp_path / "out")
    release(copied, tmp_path / "out", log, replace(toy_store.RECIPE, allow_unlicensed=("found",)))
    assert "No licence is stated for found." in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_a_parent_made_again_since_stops_the_stage(copied, tmp_path, log):
    (copied.folder("mixture", "tiny") / "more.txt").write_text("new")
    copied.publish("mixture", "tiny", {"corpus/base": ("decontaminated", "base")})
    with pytest.raises(lineage.LineageError, match="materialize again .*tiny/mixture"):
        release(copied, tmp_path / "out", log)


def test_a_killed_export_continues_to_the_same_bytes(store, bundle, tmp_path, log):
    out = tmp_path / "out"
    shutil.copytree(bundle, out)
    (out / "model.safetensors").write_bytes(b"half")
    (out / "MODEL_CARD.md").unlink()
    (out / "versions" / "policy_1" / "config.json").unlink()
    export.run(toy_store.RECIPE, toy_store.inputs(store, list(toy_store.EVALUATIONS)), out, log)
    files = json.loads((bundle / "LINEAGE.json").read_text())["files"]
    assert json.loads((out / "LINEAGE.json").read_text())["files"] == files


def test_a_folder_that_is_no_bundle_says_what_to_do(tmp_path):
    with pytest.raises(bundles.BundleError, match="no versions.json.*materialize bundle"):
        bundles.read(tmp_path)
