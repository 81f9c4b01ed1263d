"""Stage: the release bundle (paper A.7): the final chat model for transformers, earlier versions, example requests, a
model card and the lineage. The card and the lineage use the records alone.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from data_cleaning.files import sha256_of_all, write_json, write_text
from modeling.core import dialog, runtime, unused_ids, version_names
from modeling.core.atomic_folders import filling, model_files, readable_by_all
from modeling.core.verdicts import has_weights
from modeling.evaluation.versions import CHAT, read_choice
from release import bundle, card, corpus_pages, figures, licenses, lineage
from release.examples import EXAMPLES
from release.recipes import ReleaseRecipe

FINAL = "chat_model"
WEIGHTS = "*.safetensors"


class ReleaseError(ValueError):
    """The exported model differs from the trained one."""


def run(config: ReleaseRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Fills `out` as release/bundle.py describes. Returns metrics: bytes, versions, sources, the reload check.

    Raises LineageError if a parent was replaced since its child was made, UnlicensedError for a source without a
    licence, ReleaseError if the reloaded tokenizer or model gives other ids or logits.
    """
    parents = {role: lineage.read(folder) for role, folder in inputs.items()}
    store = lineage.store_of(parents[FINAL])
    chain = lineage.walk(parents.values(), lineage.store_lookup(store), config.licenses)
    if chain.replaced:
        raise lineage.LineageError("materialize again what is out of date: " + "; ".join(chain.replaced))
    sources = lineage.sources(chain)
    unlicensed = licenses.check(sources, config.allow_unlicensed)
    log.info(
        f"{len(chain.artifacts)} artifacts from {len(sources)} sources, {len(unlicensed)} of them without a licence"
    )

    names, best = version_names.named(inputs), read_choice(inputs["temperature_curve"])
    sampling = answer_sampling(parents["temperature_curve"])
    check = export_model(inputs[FINAL], out, EXAMPLES, sampling)
    log.info(f"reloaded: logits of {check['positions']} positions equal bit for bit")
    versions = [describe(role, names[role], parents[role], best.get(names[role])) for role in version_roles(inputs)]
    for version in versions:
        version["path"] = place_version(inputs[version["name"]], version["name"], out, config.max_version_bytes)
    scale = parents[FINAL].record["partition"]
    listed = {"name": bundle.NAME, "scale": scale, "sampling": sampling, "versions": versions}
    write_json(out / bundle.VERSIONS, listed, indent=1)
    write_json(out / bundle.EXAMPLES, EXAMPLES, indent=1)

    pages = corpus_pages.place(inputs, out)
    facts = card.Facts(bundle.NAME, scale, chain, parents, versions, check, unlicensed)
    text = card.render(facts)
    write_text(out / bundle.CARD, text)
    write_text(out / "README.md", text)
    files = origins(out, parents, pages)
    write_json(out / bundle.LINEAGE, lineage.as_json(chain, files), indent=1)
    write_text(out / bundle.LINEAGE_MARKDOWN, lineage.as_markdown(chain, files))
    readable_by_all(out)
    return {
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "versions_bundled": sum(version["path"] is not None for version in versions),
        "versions_named": len(versions),
        "artifacts": len(chain.artifacts),
        "sources": len(sources),
        "unlicensed_sources": unlicensed,
        "reload_logits_equal": int(check["equal"]),
        "reload_positions": check["positions"],
        "kg_co2e": round(figures.totals(chain.artifacts)["kg_co2e"], 6),
    }


def version_roles(inputs: dict[str, Path]) -> list[str]:
    """Returns the roles of the versions to chat with, the latest first. Of the two roles of Base, the one with weights."""
    base = next((role for role in version_names.BASE if role in inputs and has_weights(inputs[role])), None)
    named = version_names.named(inputs)
    return [role for role in reversed(named) if role not in version_names.BASE or role == base]


def describe(role: str, name: str, artifact: lineage.Artifact, temperature: float | None) -> dict:
    """Returns the entry of a version in versions.json; its path is set later."""
    config = json.loads((artifact.folder / "config.json").read_text(encoding="utf-8"))
    return {
        "name": role,
        "title": name,
        "about": version_names.about(name),
        "path": None,
        "artifact": artifact.name,
        "content": artifact.record["content"],
        "fingerprint": artifact.record["fingerprint"],
        "context": config["max_position_embeddings"],
        "temperature": temperature,
    }


def answer_sampling(evaluation: lineage.Artifact) -> dict:
    """Returns the defaults of the chat: the final model's best temperature, top-p and length of the evaluation."""
    recorded = evaluation.record["recipe"]["sampling"]
    temperature = read_choice(evaluation.folder)[CHAT]
    return {"temperature": temperature, **{name: recorded[name] for name in ("top_p", "max_new_tokens")}}


def export_model(source: Path, out: Path, prompts: Sequence[str], sampling: dict) -> dict:
    """Writes the final model to `out`, reloads it and compares logits on a dialogue. Returns the facts of the check."""
    where = runtime.device()
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto").to(where).eval()
    messages = [{"role": "user", "content": prompts[0]}]
    before, ids = logits(model, tokenizer, messages, where)
    closing = dialog.closing_token_id(tokenizer)
    model.generation_config = GenerationConfig(
        do_sample=sampling["temperature"] > 0,
        temperature=sampling["temperature"] or None,
        top_p=sampling["top_p"] if sampling["temperature"] > 0 else None,
        max_new_tokens=sampling["max_new_tokens"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=closing,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else closing,
        suppress_tokens=unused_ids.unused_ids(model.config.vocab_size, tokenizer) or None,
    )
    with filling(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    reloaded = AutoModelForCausalLM.from_pretrained(out, dtype="auto").to(where).eval()
    after, ids_after = logits(reloaded, AutoTokenizer.from_pretrained(out), messages, where)
    if ids != ids_after:
        raise ReleaseError(f"the released tokenizer gives other ids: {ids_after[:20]} instead of {ids[:20]}")
    if not torch.equal(before, after):
        raise ReleaseError(f"the released model computes other logits, up to {(before - after).abs().max():.3g} apart")
    return {"equal": True, "positions": len(ids), "ids_sha256": hashlib.sha256(repr(ids).encode()).hexdigest(),
            "parameters": model.num_parameters(), "dtype": str(model.dtype).removeprefix("torch.")}  # fmt: skip


@torch.inference_mode()
def logits(model, tokenizer, messages: list[dict], where: torch.device) -> tuple[torch.Tensor, list[int]]:
    """Returns logits (positions, vocabulary) and ids of the dialogue."""
    ids = dialog.encode_prompt(tokenizer, messages)
    return model(input_ids=torch.tensor([ids], device=where)).logits[0].cpu(), ids


def place_version(source: Path, name: str, out: Path, max_bytes: int) -> str | None:
    """Adds a version to the bundle. Returns its folder: "." for the final one, None if its weights exceed `max_bytes`.

    Files are hard-linked if store and bundle share a file system, because published artifacts never change.
    """
    if name == FINAL:
        return "."
    if sum(path.stat().st_size for path in source.glob(WEIGHTS)) > max_bytes:
        return None
    folder = out / "versions" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in model_files(source):
        try:
            os.link(path, folder / path.name)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(path, folder / path.name)
    return f"versions/{name}"


def origins(out: Path, parents: dict[str, lineage.Artifact], pages: dict[str, str]) -> dict[str, dict]:
    """Returns path → size, hash and source artifact of every file of the bundle. `pages`: see corpus_pages.place."""
    written_from_records = {bundle.CARD, "README.md", bundle.VERSIONS}
    paths = (path for path in out.rglob("*") if path.is_file() and "_scratch" not in path.parts)
    names = {path.relative_to(out).as_posix() for path in paths}
    names -= {bundle.LINEAGE, bundle.LINEAGE_MARKDOWN, lineage.RECORD}  # these contain this list
    hashes = sha256_of_all(out, names)
    files = {}
    for name in sorted(names):
        if name in written_from_records:
            origin = "the records below"
        elif name == bundle.EXAMPLES:
            origin = "the code of the release"
        else:
            role = pages.get(name) or (name.split("/")[1] if name.startswith("versions/") else FINAL)
            origin = parents[role].name
        files[name] = {"bytes": (out / name).stat().st_size, "sha256": hashes[name], "from": origin}
    return files
