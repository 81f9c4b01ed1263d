"""The corpus reports in a bundle: one page a snapshot, copied from its report and linked from the card."""

import shutil
from pathlib import Path

from data_cleaning.markdown import literal
from data_cleaning.report.contents import PAGE
from data_cleaning.report.units import counted, megabytes
from data_cleaning.snapshots import snapshot_order
from release.lineage import Artifact
from release.section import metric

ROLE = "corpus_report/"  # and the snapshot
FOLDER = "corpus"


def snapshots(roles: dict[str, Artifact] | dict[str, Path]) -> list[str]:
    """Returns the snapshots whose reports are among the inputs of a release, the oldest first."""
    return sorted((role.removeprefix(ROLE) for role in roles if role.startswith(ROLE)), key=snapshot_order)


def path_of(snapshot: str) -> str:
    """Returns the place of a snapshot's page in the bundle."""
    return f"{FOLDER}/{snapshot}.html"


def place(inputs: dict[str, Path], out: Path) -> dict[str, str]:
    """Copies every report's page into the bundle. Returns path in the bundle → role of the input that it came from."""
    placed = {path_of(snapshot): f"{ROLE}{snapshot}" for snapshot in snapshots(inputs)}
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    for path, role in placed.items():
        (out / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(inputs[role] / PAGE, out / path)
    return placed


def described(parents: dict[str, Artifact]) -> str:
    """Returns the sentence of the card on what the corpus holds, with a link to each page; "" without reports."""
    listed = []
    for snapshot in snapshots(parents):
        report = parents[f"{ROLE}{snapshot}"]
        kept = f"{counted(metric(report, 'documents_out'))}, {megabytes(metric(report, 'bytes_out'))}"
        listed.append(f"[snapshot {literal(snapshot)}]({path_of(snapshot)}) ({kept})")
    if not listed:
        return ""
    return (
        f"**What the corpus holds.** {', '.join(listed)}: languages, pronouns, identity descriptors, toxicity, licences, and "
        "what each cleaning step dropped, with samples. As in the paper (4.1), nothing was filtered for toxicity.\n\n"
    )
