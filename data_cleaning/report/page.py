"""The corpus report as one page: pictures and styles inside, no script, and the browser is told to load nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

from data_cleaning.report import contents, page_style
from data_cleaning.report.contents import total
from data_cleaning.report.page_parts import paragraph, picture, quoted, samples, shown, table
from data_cleaning.report.units import counted, megabytes

Section = tuple[str, str]  # title, HTML


def render(report: dict, plots: Path) -> str:
    """Returns the page of a report.json, with flow.png and, where toxicity was measured, toxicity.png of `plots`."""
    sections = [
        ("From raw text to training corpus", overview(report, plots)),
        ("Sources and licences", licences(report)),
        ("Languages", languages(report)),
        ("Pronouns", pronouns(report)),
        ("Identity descriptors", identity(report)),
        ("Toxicity", toxicity(report, plots)),
        ("What was dropped, and why", "".join(dropped(report))),
        ("Quarantine", quarantine(report)),
    ]
    links = "".join(f'<li><a href="#{anchor(title)}">{shown(title)}</a></li>' for title, _ in sections)
    body = "".join(f'<section id="{anchor(title)}"><h2>{shown(title)}</h2>{text}</section>' for title, text in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{page_style.POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>Corpus report</title><style>{page_style.CSS}</style></head><body><main><h1>Corpus report</h1>"
        + paragraph(
            "What the pretraining corpus holds, what each cleaning step removed, and who is written about: the analyses of "
            "section 4.1 of the Llama 2 paper on this corpus. The paper's figures stand beside, where it gives them.", "lead"
        )
        + facts(report)
        + f'<nav aria-label="Contents"><ol>{links}</ol></nav>{body}</main></body></html>\n'
    )  # fmt: skip


def anchor(title: str) -> str:
    return "-".join(re.findall(r"[a-z]+", title.lower()))


def facts(report: dict) -> str:
    """Returns the figures that a reader looks for first."""
    read, left = total(report["steps"][0]["kept"]), total(report["steps"][-1]["kept"])
    shown_facts = [
        ("documents read", f"{read['documents']:,}"),
        ("documents kept", f"{left['documents']:,}"),
        ("text kept", megabytes(left["bytes"])),
        ("of the text read", str(contents.share(left["bytes"], read["bytes"]))),
        ("words kept", f"{sum(size['words'] for size in report['size'].values()):,}"),
        ("languages found", f"{len(report['languages'].keys() - {contents.UNKNOWN}):,}"),
    ]
    if report["toxicity"]:
        found = report["toxicity"]["all"]
        shown_facts.append(("toxic documents", str(contents.share(found["toxic"], found["documents"]))))
    items = "".join(f"<div><dt>{shown(name)}</dt><dd>{shown(value)}</dd></div>" for name, value in shown_facts)
    return f'<dl class="facts">{items}</dl>'


def overview(report: dict, plots: Path) -> str:
    steps = ", ".join(step["name"] for step in report["steps"])
    text = (
        f"Text kept after each step ({steps}) by source, and what each step dropped. The tables below have the numbers."
    )
    return picture(plots / "flow.png", "flow", text) + "".join(map(table, contents.flow_tables(report)))


def licences(report: dict) -> str:
    told = "Licences are those that the table of sources states now. Words are runs of characters without white space."
    return table(contents.sources(report), caption=False) + paragraph(told, "note")


def languages(report: dict) -> str:
    told = (
        f"fastText lid.176 reads the whole document; below a probability of {report['language_threshold']:g} the language is "
        "unknown. Shares are of the documents read, before any was dropped. The paper's column is its Table 10."
    )
    return table(contents.languages(report), caption=False) + paragraph(told, "note")


def pronouns(report: dict) -> str:
    told = (
        "Documents of the final corpus with one pronoun or more of each kind (the paper's Table 9a and its English lists, "
        "A.4.3). US and IT in capitals are not counted. The Roman numeral I is."
    )
    return table(contents.pronouns(report), caption=False) + paragraph(told, "note")


def identity(report: dict) -> str:
    told = (
        "Documents with a term that describes people, as in the paper's Table 9b. The paper counts the descriptors of "
        "HolisticBias; these are the terms that its table prints and others of the same kind, a shorter list. So the share "
        "of an axis is not comparable to the digit. As there, straight, white and black are left out. A term counts in any "
        "sense: English may be the language."
    )
    tables = "".join(map(table, contents.descriptors(report)))
    told_axes = paragraph("The most frequent descriptors, of the documents with any of their axis:")
    listed = f'{told_axes}<div class="axes">{tables}</div>' if tables else ""
    return table(contents.axes(report), caption=False) + listed + paragraph(told, "note")


def toxicity(report: dict, plots: Path) -> str:
    if not report["toxicity"]:
        return paragraph('Not measured: the table of sources has no rated terms (use = "toxicity").')
    told = (
        "A line has the score of its most severe term in a public list of offensive words that people rated, and a document "
        "has the mean of its lines. The paper uses a neural classifier that also reads hatred in plain words. This one does "
        "not, and it takes an offensive word for toxic in every context: homo in Homo sapiens is one. So it shows explicit "
        "language: it misses most hatred and counts some harmless words. In the paper, about 0.2 % of documents score 0.5 "
        "or more. Nothing was filtered by it, as in the paper."
    )
    agreed = (
        "ToxiGen's lines are machine-written hatred without offensive words and harmless counterparts, rated by people; the "
        "comments are all offensive to another classifier (Perspective). AUC is the chance that a toxic line scores above a "
        "harmless one; 0.50 is chance."
    )
    terms = list(report["toxicity"]["all"]["terms"].items())[: contents.MARKING_TERMS_SHOWN]
    marking = ", ".join(f"{quoted(term)} {count:,}" for term, count in terms) or "none"
    text = "Documents by toxicity on a logarithmic scale; the bars from 0.5 on are what the paper calls toxic."
    return (
        paragraph(told)
        + picture(plots / "toxicity.png", "chart", text)
        + table(contents.toxicity(report), caption=False)
        + f"<details><summary>The terms that marked most lines (offensive words)</summary><p>{marking}</p></details>"
        + "<h3>Agreement with labelled lines</h3>"
        + table(contents.agreement(report), caption=False)
        + paragraph(agreed, "note")
    )


def dropped(report: dict) -> Iterator[str]:
    """Yields each step's reasons, the samples on both sides of its thresholds, and samples of the other reasons."""
    yield paragraph(
        "Texts are shortened, and placeholders stand for personal information. Beside each threshold are the documents that "
        "just missed it and those that just met it."
    )
    for step in report["steps"][1:]:
        yield f"<h3>{shown(step['name'])}</h3>"
        if step["step"] == "pii" and report["replaced"]:
            yield table(contents.placeholders(report))
        if not step["dropped"]:
            yield paragraph("Nothing was dropped.")
            continue
        yield table(contents.reasons(step), caption=False)
        for threshold in step["thresholds"]:
            yield both_sides(threshold)
        for reason, count in contents.shown_without_threshold(step):
            yield opened(f"{reason.replace('_', ' ')}: samples", samples(count["samples"]))


def both_sides(threshold: dict) -> str:
    """Returns the dropped and the kept documents closest to a threshold, side by side where there is room."""
    kept = samples(threshold["kept"]) if threshold["kept"] else paragraph("None has a recorded value near it.", "note")
    sides = (
        f'<div class="dropped"><h4>Just dropped</h4>{samples(threshold["dropped"])}</div>'
        f'<div class="kept"><h4>Just kept</h4>{kept}</div>'
    )
    return opened(contents.threshold_title(threshold), f'<div class="sides">{sides}</div>')


def opened(title: str, content: str) -> str:
    return f"<details open><summary>{shown(title)}</summary>{content}</details>"


def quarantine(report: dict) -> str:
    found = report["quarantine"]
    if not found["entries"]:
        return paragraph("Every input could be read.")
    parts = [paragraph(f"{found['entries']:,} inputs ({megabytes(found['bytes'])}) are no text or could not be read.")]
    for kind, entries in found["samples"].items():
        items = "".join(
            f'<li><span class="meta">{quoted(entry["source"])}/{quoted(entry["file"])} at byte {entry["offset"]:,}</span>'
            f"{quoted(entry['error'])}</li>"
            for entry in entries
        )
        heading = f"<h3>{quoted(kind)}: {counted(found['errors'][kind]).replace('document', 'input')}</h3>"
        parts.append(f'{heading}<ul class="samples">{items}</ul>')
    return "".join(parts)
