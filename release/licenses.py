"""Licences of the sources of a release: stops it if one is missing, and describes the obligations of each."""

import re
from collections.abc import Iterable

from data_cleaning.recipes import Source

# Obligations when the material is redistributed. The first entry whose words occur in the licence's name applies.
OBLIGATIONS = (
    (("by-nc-nd", "noncommercial-noderivatives"), "no commercial use; no adaptations passed on"),
    (("by-nc-sa", "noncommercial-sharealike"), "no commercial use; share adaptations alike"),
    (("by-nc", "noncommercial", "non-commercial"), "no commercial use"),
    (("by-nd", "noderivatives", "no-derivatives", "noderivs"), "attribution; no adaptations passed on"),
    (("research",), "research use only"),
    (("by-sa", "share-alike", "sharealike"), "attribution; share adaptations alike"),
    (("agpl", "lgpl", "gpl"), "copyleft: derived works under the same terms"),
    (("gfdl",), "attribution; share adaptations alike"),
    (("cc0", "public domain", "pddl", "unlicense"), "none"),
    (("cc-by", "odc-by", "mit", "bsd", "apache", "psf", "wordnet", "isc"), "keep the notice"),
)


class UnlicensedError(ValueError):
    """A release contains a source without a stated licence."""


def stated(sources: Iterable[Source]) -> tuple[tuple[str, str, str], ...]:
    """Returns (name, snapshot, licence) of each entry of the table of sources."""
    return tuple((source.name, source.snapshot, source.license) for source in sources)


def check(sources: Iterable[dict], allowed: tuple[str, ...]) -> list[str]:
    """Returns the names of the sources without a licence, all of them allowed by name.

    Raises UnlicensedError for any other source without one.
    """
    missing = {source["name"] for source in sources if not (source["license"] or "").strip()}
    refused = sorted(missing - set(allowed))
    if refused:
        raise UnlicensedError(
            f"no licence is stated for {', '.join(refused)}: state it in sources.toml, leave the source out, or take "
            "the responsibility by naming it in the release recipe's allow_unlicensed"
        )
    return sorted(missing)


def obligations(license_name: str) -> str:
    """Returns the obligations of a licence in a few words, or a note that they are unknown.

    Text in brackets after the licence, such as its owner, is ignored.
    """
    name = words(license_name.split("(")[0])
    if not name.strip():
        return "unknown: no licence stated"
    for parts, asks in OBLIGATIONS:
        if any(words(part) in name for part in parts):
            return asks
    return "see its text"


def words(name: str) -> str:
    """Returns the lower-case words of a name between spaces: "mit" is not found in "limited", GPLv3 becomes "gpl 3"."""
    apart = re.sub(r"(?<=[a-z]{3})v?(?=[0-9])", " ", name.lower())
    return f" {' '.join(re.findall(r'[a-z0-9]+', apart))} "
