"""Reads a release folder.

bundle/            the final chat model as transformers loads it
  versions.json    every version, and the folder of each bundled one
  versions/NAME/   earlier versions that are small enough to bundle
  examples.json    example requests
  MODEL_CARD.md    also as README.md for model hubs
  LINEAGE.json/md  the chain of records back to the sources
  corpus/*.html    a report on the corpus for each snapshot, linked from the card
"""

import json
from dataclasses import dataclass
from pathlib import Path

NAME = "Cria"
VERSIONS, EXAMPLES = "versions.json", "examples.json"
CARD, LINEAGE, LINEAGE_MARKDOWN = "MODEL_CARD.md", "LINEAGE.json", "LINEAGE.md"


class BundleError(ValueError):
    """The folder is not a complete release."""


@dataclass(frozen=True)
class Version:
    name: str  # chat_model, sft_model, policy_3, …
    title: str  # Chat, SFT, RLHF-v3, …
    about: str
    path: Path | None  # None: not bundled, only named by its content hash
    artifact: str  # laptop/rlhf_v3/policy
    content: str
    fingerprint: str
    context: int  # tokens
    temperature: float | None = None  # the best on validation prompts; None: not measured


@dataclass(frozen=True)
class Sampling:
    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class Bundle:
    root: Path
    name: str
    scale: str
    versions: tuple[Version, ...]  # the final model first
    sampling: Sampling
    examples: tuple[str, ...]
    card: str  # Markdown without its YAML header
    lineage: str  # Markdown

    @property
    def offered(self) -> tuple[Version, ...]:
        """The versions whose weights are in the bundle."""
        return tuple(version for version in self.versions if version.path is not None)

    def temperature(self, name: str) -> float:
        """Returns the temperature that the chat begins with for a version."""
        best = self.version(name).temperature
        return self.sampling.temperature if best is None else best

    def version(self, name: str) -> Version:
        for version in self.offered:
            if version.name == name:
                return version
        raise BundleError(f"{self.root} holds no version {name!r}, only {', '.join(v.name for v in self.offered)}")


def read(root: Path) -> Bundle:
    """Returns the release in `root`. Raises BundleError if the folder is not a complete release."""
    for name in (VERSIONS, EXAMPLES, CARD, LINEAGE_MARKDOWN):
        if not (root / name).is_file():
            raise BundleError(f"{root} has no {name}, so it is no release: materialize bundle of a scale and "
                              "give its folder, for example store/laptop/bundle")  # fmt: skip
    listed = json.loads((root / VERSIONS).read_text(encoding="utf-8"))
    versions = tuple(
        Version(**{**entry, "path": None if entry["path"] is None else root / entry["path"]})
        for entry in listed["versions"]
    )
    for version in versions:
        if version.path is not None and not (version.path / "config.json").is_file():
            raise BundleError(f"{version.path} of version {version.name} has no config.json: the bundle is incomplete")
    return Bundle(
        root=root,
        name=listed["name"],
        scale=listed["scale"],
        versions=versions,
        sampling=Sampling(**listed["sampling"]),
        examples=tuple(json.loads((root / EXAMPLES).read_text(encoding="utf-8"))),
        card=without_header((root / CARD).read_text(encoding="utf-8")),
        lineage=(root / LINEAGE_MARKDOWN).read_text(encoding="utf-8"),
    )


def without_header(markdown: str) -> str:
    """Returns the text after the YAML header."""
    if not markdown.startswith("---\n"):
        return markdown
    return markdown.split("\n---\n", 1)[1].lstrip("\n")
