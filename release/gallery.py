"""What the chat offers now: the versions in the folder of a scale, which a run may still be filling, and the release."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from data_cleaning.run_notice import announced
from data_cleaning.store_layout import RECORD, place
from modeling.core.verdicts import has_weights
from modeling.core.version_names import CHOICE, about
from release import bundle as bundles
from release import promotion
from release.bundle import Bundle, BundleError, Sampling, Version
from release.examples import EXAMPLES

RELEASED = "release"  # the current one, where the store holds another model
OUTDATED = "What it was made from has been made anew since."
UNTIL_RELEASED = Sampling(temperature=0.6, top_p=0.9, max_new_tokens=256)


@dataclass(frozen=True)
class Gallery:
    """Where versions lie. Nothing is kept in memory, so each look finds what is there at that moment."""

    bundle: Path
    folder: Path | None = None  # of a scale in a store; None: the release alone
    listed: tuple[tuple[str, str], ...] = ()  # (asset, name) in training order; of one name, the first with weights

    def now(self) -> Bundle:
        """Returns what can be chatted with now, the latest version first; in a store that may be nothing.

        The release counts only while it holds the chat model of the store. Raises BundleError if there is no store and
        no complete release.
        """
        if self.folder is None:
            return bundles.read(self.bundle)
        found = self._made()
        released = self._released()
        if released and found and found[0].content == released.versions[0].content:
            found = [replace(found[0], path=released.versions[0].path), *found[1:]]
        else:
            released = None
        if (kept := self._current()) and all(version.content != kept.content for version in found):
            found.insert(0, kept)  # the model in the store is a candidate, or not judged yet
        return Bundle(
            root=self.folder,
            name=bundles.NAME,
            scale=self.folder.name,
            versions=tuple(found),
            sampling=released.sampling if released else UNTIL_RELEASED,
            examples=EXAMPLES,
            card=released.card if released else "",
            lineage=released.lineage if released else "",
        )

    def _current(self) -> Version | None:
        """Returns the chat model of the current release (release/promotion.py), if one is kept."""
        releases = self.folder.parent / "releases" / self.folder.name
        name = promotion.current(releases)
        try:
            final = bundles.read(releases / name / promotion.BUNDLE).versions[0] if name else None
        except (BundleError, FileNotFoundError):  # deleted while it was being read
            return None
        title = f"Release {name}"
        return final and replace(final, name=RELEASED, title=title, about=f"The current release. {final.about}")

    def making(self) -> str | None:
        """Returns what a run makes now ("": not said yet), or None if no run is alive."""
        return None if self.folder is None else announced(self.folder.parent)

    def _made(self) -> list[Version]:
        best = _json(self.folder / "temperature_curve" / CHOICE) or {}
        found: dict[str, Version] = {}
        records = Records(self.folder.parent)
        for asset, name in self.listed:
            if name not in found and (made := self._version(asset, name, best.get(name), records)):
                found[name] = made
        return list(reversed(found.values()))

    def _version(self, asset: str, name: str, temperature: float | None, records: "Records") -> Version | None:
        """Returns the version in a finished artifact with weights, or None."""
        folder = self.folder / asset
        record, config = records.read(asset, self.folder.name), _json(folder / "config.json")
        if record is None or config is None or not has_weights(folder):
            return None
        outdated = records.outdated(asset, self.folder.name)
        return Version(
            name=name,
            title=f"{name} (earlier run)" if outdated else name,
            about=f"{about(name)} {OUTDATED}" if outdated else about(name),
            path=folder,
            artifact=f"{self.folder.name}/{asset}",
            content=record["content"],
            fingerprint=record["fingerprint"],
            context=config["max_position_embeddings"],
            temperature=temperature,
        )

    def _released(self) -> Bundle | None:
        try:
            return bundles.read(self.bundle) if (self.bundle / RECORD).is_file() else None
        except (BundleError, FileNotFoundError):  # replaced while it was being read
            return None


class Records:
    """The records of a store at one moment, each read once."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self._records: dict[tuple[str, str | None], dict | None] = {}
        self._outdated: dict[tuple[str, str | None], bool] = {}

    def read(self, asset: str, partition: str | None) -> dict | None:
        """Returns the record of an artifact, or None if it is not there."""
        key = asset, partition
        if key not in self._records:
            self._records[key] = _json(place(self.store, *key) / RECORD)
        return self._records[key]

    def outdated(self, asset: str, partition: str | None) -> bool:
        """Whether an artifact that it descends from has another content now. Ancestors that are gone do not count."""
        key = asset, partition
        if key not in self._outdated:
            self._outdated[key] = any(
                self._changed(parent) or self.outdated(parent["asset"], parent["partition"])
                for parent in (self.read(*key) or {}).get("parents", {}).values()
            )
        return self._outdated[key]

    def _changed(self, parent: dict) -> bool:
        now = self.read(parent["asset"], parent["partition"])
        return now is not None and now["content"] != parent["content"]


def _json(path: Path) -> dict | None:
    """Returns the content of a file, or None if it is not there: a run may replace the folder at any time."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
