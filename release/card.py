"""MODEL_CARD.md: the rows of the paper's Table 52, written from records alone, with a YAML header for model hubs."""

import json
from dataclasses import dataclass

from data_cleaning.markdown import literal
from data_cleaning.snapshots import snapshot_order
from modeling.core import reporting
from modeling.core.carbon import KG_CO2E_PER_KWH, PUE
from modeling.rlhf.labels import PEOPLE
from release import corpus_pages, figures, licenses, lineage, section
from release.lineage import Artifact, Lineage

SIMULATED = "simulated"


@dataclass(frozen=True)
class Facts:
    """The inputs of the card."""

    name: str
    scale: str
    chain: Lineage
    parents: dict[str, Artifact]  # by role of the release
    versions: list[dict]
    reload: dict  # of the exported model: parameters, dtype, positions compared
    unlicensed: list[str]  # sources allowed without a licence


def render(facts: Facts) -> str:
    """Returns the card as Markdown with a YAML header."""
    rows = [
        ("Model developers", developers(facts)),
        ("Variations", variations(facts)),
        ("Input", "Text only."),
        ("Output", "Generated text only."),
        ("Model architecture", architecture(facts)),
        ("Model dates", dates(facts)),
        ("Status", status(facts)),
        ("License", "Other: the weights were made from sources under the licences listed below. Redistribution must "
                    "comply with all of them."),
        ("Where to send comments", "To the issue tracker of the repository whose commit is named above."),
    ]  # fmt: skip
    parts = [
        header(facts),
        f"# {facts.name} · {facts.scale}\n",
        "Every statement below comes from the records of the run that made this model. Twelve-digit numbers in "
        "backticks abbreviate the fingerprints of those records; `LINEAGE.json` holds them in full.\n",
        "## Model details\n",
        reporting.table(("", ""), rows),
        "## Intended use\n",
        INTENDED,
        "## Hardware, software and carbon\n",
        factors(facts),
        "## Training data\n",
        training_data(facts),
        "## Evaluation results\n",
        evaluation(facts),
        "## Ethical considerations and limitations\n",
        ethics(facts),
    ]
    return "\n".join(parts)


INTENDED = """\
**Intended use cases.** Research on language models, on alignment and on reproducing published work. The final model is
tuned for assistant-like chat in English; use the chat template that comes with the tokenizer, and encode user input as
plain text, never as control tokens. This bundle does not contain the pretrained base model.

**Out-of-scope uses.** Any use that breaks laws or the licences of the sources; advice that someone may act on in
medical, legal, financial or safety matters; decisions about people; languages other than English; any product without
the developer's own safety tests.
"""


def header(facts: Facts) -> str:
    """Returns the YAML header for model hubs."""
    listed = sorted({source["name"] for source in lineage.sources(facts.chain) if source["use"] == "corpus"})
    lines = ["---", "language:"] + [f"- {code}" for code in languages(facts)]
    lines += ["license: other", "license_name: licences-of-the-sources", "license_link: MODEL_CARD.md"]
    lines += ["library_name: transformers", "pipeline_tag: text-generation"]
    lines += ["tags:", "- llama", "- rlhf", "- reproduction", "- research"]
    lines += [f"model_name: {json.dumps(facts.name + ' ' + facts.scale)}", "source_datasets:"]
    lines += [f"- {json.dumps(name)}" for name in listed] or ["- none"]
    return "\n".join([*lines, "---", ""])


def languages(facts: Facts) -> list[str]:
    """Returns the languages that cleaning kept; English if no language filter ran."""
    kept = [tuple(a.record["recipe"].get("keep") or ()) for a in facts.chain.find("language")]
    found = sorted({code for codes in kept for code in codes})
    return found or ["en"]


def mark(artifact: Artifact) -> str:
    return f"`{artifact.record['fingerprint'][:12]}`"


def developers(facts: Facts) -> str:
    final = facts.parents["chat_model"]
    text = f"Built from commit {lineage.commit_of(final.record)} of the repository {mark(final)}."
    if adopted(facts):
        names = ", ".join(source["name"] for source in adopted(facts))
        text += f" The base model is {names}, trained by its own developers."
    return text


def adopted(facts: Facts) -> list[dict]:
    return [source for source in lineage.sources(facts.chain) if source["use"] == "checkpoint"]


def variations(facts: Facts) -> str:
    named = [
        f"{version['title']} (`{version['fingerprint'][:12]}`{'' if version['path'] else ', named but not bundled'})"
        for version in facts.versions
    ]
    return f"{facts.reload['parameters']:,} parameters, scale {facts.scale}. Versions: " + ", ".join(named) + "."


def architecture(facts: Facts) -> str:
    final = facts.parents["chat_model"]
    config = json.loads((final.folder / "config.json").read_text(encoding="utf-8"))
    return (
        f"Auto-regressive transformer of the Llama 2 family: {config['num_hidden_layers']} layers, "
        f"{config['hidden_size']} wide, {config['num_attention_heads']} heads with {config['num_key_value_heads']} "
        f"key-value heads, context {config['max_position_embeddings']}, vocabulary {config['vocab_size']:,}, "
        f"{facts.reload['dtype']}. Tuned by supervised fine-tuning and reinforcement learning with preferences given by "
        f"{annotators(facts)}, for helpfulness and safety."
    )


def annotators(facts: Facts) -> str:
    """Returns who labelled the preferences, from the recipes of all rounds."""
    names = sorted({a.record["recipe"]["annotator"] for a in preferences(facts)})
    return " and ".join(map(annotator, names)) or "nobody"


def annotator(name: str) -> str:
    """Describes a recipe's annotator. A name after a colon, as in "judge:MODEL", tells which one."""
    kind, _, which = map(literal, name.partition(":"))
    spelled = {SIMULATED: "a simulated annotator (a program, not people)",
               "judge": f"the judge model {which} (a program, not people)", PEOPLE: "human raters",
               "public": f"a public preference set {which}".rstrip()}  # fmt: skip
    return spelled.get(kind, literal(name))


def preferences(facts: Facts) -> list[Artifact]:
    return [a for a in facts.chain.artifacts if a.record["asset"].endswith("/preferences")]


def rated(facts: Facts) -> bool:
    """Returns whether people's votes went into the model, as all preferences or beside those of a program."""
    by_people = any(a.record["recipe"]["annotator"] == PEOPLE for a in preferences(facts))
    return by_people or any(a.record["recipe"].get("votes") for a in facts.chain.find("ratings"))


def dates(facts: Facts) -> str:
    days = sorted(a.record["created"][:10] for a in facts.chain.artifacts if a.record.get("created"))
    return f"Made between {days[0]} and {days[-1]}." if days else "The records hold no dates."


def status(facts: Facts) -> str:
    changed = [a.name for a in facts.chain.artifacts if a.record["git"]["dirty"]]
    text = "A static model trained on an offline corpus. A new run makes a new release."
    if changed:
        text += f" {len(changed)} of its {len(facts.chain.artifacts)} artifacts were made with uncommitted changes."
    return text


def factors(facts: Facts) -> str:
    """Returns the hardware, libraries, time, energy and emissions of all stages."""
    hosts = sorted({host(a.record["host"]) for a in facts.chain.artifacts})
    assumptions = sorted({a.record["energy"]["assumption"] for a in facts.chain.artifacts})
    used = facts.parents["chat_model"].record["libraries"]
    libraries = ", ".join(f"{name} {used[name]}" for name in ("python", "torch", "transformers", "trl") if name in used)
    return (
        f"Made on: {'; '.join(hosts)}. Libraries: {libraries}.\n\n"
        + section.as_markdown(figures.cost(facts.chain), marked=False)
        + f"\nkg CO2e = device hours × W / 1000 × PUE {PUE} × {KG_CO2E_PER_KWH} kg/kWh, the factors that reproduce the paper's "
        f"Table 2. The power is assumed, not measured: {'; '.join(assumptions)}. As in the paper, this excludes "
        "interconnect, the servers' other power, their cooling beyond the PUE, and hardware production; nominal power "
        "is an estimate of the power drawn. Attempts that produced no artifact are not counted.\n"
    )


def host(machine: dict) -> str:
    accelerator = machine.get("accelerator")
    return f"{machine['cores']} CPU cores ({machine['machine']})" + (f" with {accelerator}" if accelerator else "")


def training_data(facts: Facts) -> str:
    sources = lineage.sources(facts.chain)
    learnt = ("corpus", "dialogues", "preferences", "prompts", "checkpoint")
    trained = [source for source in sources if source["use"] in learnt]
    measured = [source for source in sources if source not in trained]
    local = [source["name"] for source in trained if "://" not in source["uri"]]
    text = (
        "**Overview.** This table lists all training sources with their licences; "
        + (
            f"{', '.join(local)} came from local files, the rest is publicly available. "
            if local
            else "all of it is publicly available. "
        )
        + ("Ratings that people gave in the chat went into it. " if rated(facts) else "No data of users went into it. ")
        + f"Preferences were given by {annotators(facts)}.\n\n"
    )
    text += corpus_pages.described(facts.parents)
    text += reporting.table(
        ("Source", "Use", "Licence", "Asks for", "SHA-256"), [source_row(source) for source in trained]
    )
    if measured:
        text += "\nUsed for cleaning and measuring, never trained on:\n\n"
        text += reporting.table(("Source", "Use", "Licence", "Asks for", "SHA-256"), [source_row(s) for s in measured])
    if facts.unlicensed:
        text += (
            f"\n**No licence is stated for {', '.join(facts.unlicensed)}.** The release recipe allowed them by name; "
            "do not redistribute the weights before you have clarified the licence.\n"
        )
    found = {a.record["partition"] for a in facts.chain.find("decontaminated") if a.record["partition"]}
    snapshots = sorted(found, key=snapshot_order)
    named = literal(", ".join(snapshots)) or "none"
    text += f"\n**Data freshness.** Snapshots of the corpus: {named}; the sources' own revisions are "
    return text + "in `LINEAGE.md`. The model has no later data.\n"


def source_row(source: dict) -> tuple:
    stated = literal(source["license"] or "") or "**none stated**"
    return (
        source["name"],
        source["use"],
        stated,
        licenses.obligations(source["license"]),
        f"`{source['sha256'][:12]}`",
    )


def evaluation(facts: Facts) -> str:
    measured = facts.parents | figures.last_rejection(facts.chain)
    return "\n".join(section.as_markdown(one, marked=True) for one in figures.sections(measured))


def ethics(facts: Facts) -> str:
    by = {lineage.name_of(a.record).split("/", 1)[1]: a.record["recipe"]["annotator"] for a in preferences(facts)}
    shaped = sorted(name for name, given in by.items() if given != PEOPLE)
    parts = [
        "This is a research model. It makes false statements and repeats biases of its sources. It complies with some "
        "harmful prompts and refuses some harmless ones: the violation and false refusal rates above measure this in "
        "English on a limited set of prompts. No human red team tested it.",
    ]
    if shaped:
        nobody = "" if rated(facts) else "**No person judged its answers.** "
        parts.append(
            f"{nobody}The preferences of {', '.join(shaped)} were given by "
            f"{' and '.join(sorted({annotator(by[name]) for name in shaped}))}. Both reward models, all later versions and "
            "every reward-model win rate inherit its notion of helpful and safe, which may differ from that of users."
        )
    parts.append("Before any use with people, test it for that use, and have a person review its output.")
    return "\n\n".join(parts) + "\n"
