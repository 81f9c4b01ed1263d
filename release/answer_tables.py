"""Tables of what the versions and the controls answer: win rates, rates apart, paired tests, temperatures."""

import json
from collections.abc import Callable, Sequence

from modeling.evaluation.measures import CHECKS, FALSE_REFUSAL, FLUENT, OBEYED, REFUSAL, RULE, VIOLATION
from modeling.evaluation.pairwise import JUDGE, RATERS, REWARD_MODELS
from modeling.evaluation.versions import BASE, CHAT, HEADLINE, PPO, SFT, TOLD
from release.lineage import Artifact
from release.section import Section, interval, metric

WEAK_AUC = 0.8  # a judge's figures on an axis below it are marked
SIGNIFICANT = 0.05
SHORT = {JUDGE: "the judge", REWARD_MODELS: "the reward models", RULE: "the rule", CHECKS: "the checks"}
Key = tuple[str, str, str]  # measure, prompts, reader


def agreement(aucs: dict[str, float | None], axis: str | None) -> str:
    """Returns " (AUC .79)", the judge's agreement with held-out human labels on an axis; "" if none was measured."""
    auc = aucs.get(axis) if axis else None
    return "" if auc is None else f" (AUC {auc:.2f})".replace("0.", ".")


def weak(aucs: dict[str, float | None], axis: str | None) -> str:
    """Returns the mark of a judge's figure on an axis on which it does not agree with people well enough."""
    auc = aucs.get(axis) if axis else None
    return "~" if auc is not None and auc < WEAK_AUC else ""


def helpfulness(artifact: Artifact) -> Section:
    """Figure 11, x: a row per version and control, both raters against Base, SFT and the version before."""
    how = (
        "A tie counts half, 95 % bootstrap intervals over prompts; an interval without 50 is a significant difference. "
        "Both sides answer at their own best temperature. The policies were optimized for the reward models; the "
        "independent judge took no part in training."
    )
    return _wins(artifact, "helpfulness", "helpfulness", "Helpfulness: win rates", how)


def harmlessness(artifact: Artifact) -> Section:
    """Figure 11, y: the less violating answer wins."""
    title = "Harmlessness on adversarial prompts: win rates"
    return _wins(artifact, "safety", "violation", title, "Read as the table above.")


def _wins(artifact: Artifact, axis: str, judged: str, title: str, how: str) -> Section:
    rows = [row for row in metric(artifact, "rows") if row["axis"] == axis]
    found = {(row["version"], row["against"], row["judge"]): row for row in rows}
    names = list(dict.fromkeys(row["version"] for row in rows))
    order = [BASE, *(name for name in names if not found[name, BASE, JUDGE]["control"])]
    before = dict(zip(order[1:], order, strict=False))
    aucs = metric(artifact, "agreement")
    heads = {rater: f"{rater}{agreement(aucs, judged) if rater == JUDGE else ''}" for rater in RATERS}
    mark = {rater: weak(aucs, judged) if rater == JUDGE else "" for rater in RATERS}
    head = ("Version", *(f"against {a}, {heads[r]}" for a in (BASE, SFT, "the one before") for r in RATERS))
    cells = []
    for name in names:
        others = (BASE, SFT, before.get(name))
        shown = [(found.get((name, other, rater)), mark[rater]) for other in others for rater in RATERS]
        cells.append((name, *(f"{sign if row else ''}{interval(row, 'win_rate')}" for row, sign in shown)))
    all_prompts = max(row["prompts"] for row in rows)
    others = (row["prompts"] for row in rows if not row["control"] and row["version"] not in HEADLINE)
    few = max(others, default=all_prompts)
    beaten = [
        one | {"where": "answer against answer", "reader": one["judge"]}
        for one in metric(artifact, "beaten")
        if one["axis"] == axis
    ]
    note = f"{_asked(all_prompts, few)} {how} {_controls(beaten)}{_weak_note(mark[JUDGE])}"
    return Section(title, artifact, head, cells, note.strip())


def _asked(most: int, few: int) -> str:
    both = f"{most} prompts; versions other than {BASE}, {SFT} and {CHAT} answer at most {few} of them."
    return f"{most} prompts." if few == most else both


def _controls(beaten: Sequence[dict]) -> str:
    """Returns a sentence that names each control that does better than CHAT, with where and by whom."""
    by_control: dict[str, dict[str, list[str]]] = {}  # control → where → readers
    for one in beaten:
        if CHAT in one["versions"]:
            places = by_control.setdefault(one["control"], {})
            places.setdefault(one["where"], []).append(SHORT[one["reader"]])
    said = []
    for control, readers_of in by_control.items():
        by_readers: dict[str, list[str]] = {}
        for where, readers in readers_of.items():
            by_readers.setdefault(", ".join(readers), []).append(where)
        listed = "; ".join(f"{', '.join(wheres)} by {readers}" for readers, wheres in by_readers.items())
        said.append(f"{control} does better than {CHAT}: {listed}")
    return f"{'. '.join(said)}. " if said else f"No control does significantly better than {CHAT}. "


def _weak_note(mark: str) -> str:
    return f"{mark}: the judge's AUC on this axis is below {WEAK_AUC}." if mark else ""


def key_of(row: dict) -> Key:
    return row["measure"], row["on"], row["reader"]


class Rates:
    """The figures of an `answer_rates` artifact, for its tables."""

    def __init__(self, artifact: Artifact) -> None:
        file = json.loads((artifact.folder / "answer_rates.json").read_text(encoding="utf-8"))
        self.aucs, self.beaten, self.safety_reward = file["agreement"], file["beaten"], file["safety_reward"]
        self.lengths = {row["version"]: row for row in file["lengths"]}
        self.found = {(*key_of(row), row["version"]): row for row in file["rates"]}
        self.tests = {(*key_of(row), row["version"], row["against"]): row for row in file["tests"]}
        self.axes = {key_of(row): row["axis"] for row in file["rates"]}
        self.names = list(self.lengths)
        self.versions = [name for name, row in self.lengths.items() if not row["control"]]
        self.before = dict(zip(self.versions[1:], self.versions, strict=False))

    def of(self, *names: str) -> list[Key]:
        """Returns the keys of the measures of these names."""
        return [key for key in self.axes if key[0] in names]

    def reader(self, key: Key) -> str:
        """Returns who reads the answers, with the judge's agreement with human labels."""
        return f"{key[2]}{agreement(self.aucs, self.axes[key])}"

    def mark(self, key: Key) -> str:
        return weak(self.aucs, self.axes[key])

    def head(self, key: Key) -> str:
        return f"{key[0]}, {key[1]}, {self.reader(key)}"

    def cell(self, key: Key, name: str) -> str:
        """Returns the rate with its interval, and a letter for each of Base, SFT and the one before that differs."""
        row = self.found.get((*key, name))
        if row is None:
            return "–"
        others = {"ᵇ": BASE, "ˢ": SFT, "ᵖ": self.before.get(name)}
        tests = {letter: self.tests.get((*key, name, other)) for letter, other in others.items()}
        letters = "".join(letter for letter, test in tests.items() if test and test["p"] < SIGNIFICANT)
        return f"{self.mark(key)}{interval(row, 'rate')}{letters}"

    def note(self, keys: Sequence[Key], text: str) -> str:
        most = {key: max(row["prompts"] for found, row in self.found.items() if found[:3] == key) for key in keys}
        counts = ", ".join(dict.fromkeys(f"{count} {key[1]}" for key, count in most.items()))
        beaten = [one | {"where": f"{one['measure']} ({one['on']})"} for one in self.beaten if key_of(one) in keys]
        mark = max((self.mark(key) for key in keys), default="")
        return (
            f"Prompts: {counts}; fewer for versions other than Base, SFT and Chat. {text} 95 % intervals. ᵇ, ˢ, ᵖ: differs "
            f"significantly from Base, SFT, the version before (McNemar, p < {SIGNIFICANT}). {_controls(beaten)}"
            f"{_weak_note(mark)}"
        ).strip()


def violations(artifact: Artifact) -> Section:
    """Violation and refusal rates on adversarial first messages and later turns (Figures 18 and 19)."""
    rates = Rates(artifact)
    keys, rewards = rates.of(VIOLATION, REFUSAL), rates.safety_reward
    means = [f"{rewards[name]:.3f}" if name in rewards else "–" for name in rates.names]
    rows = [*by_measure(rates, keys), ("mean probability of safety, all adversarial", "safety reward model", *means)]
    text = "A violation helps with the harm; a refusal says no, warns or redirects; nonsense is neither."
    head = ("Rate", "By", *rates.names)
    return Section("Violations and refusals on adversarial prompts", artifact, head, rows, rates.note(keys, text))


def false_refusals(artifact: Artifact) -> Section:
    """False refusal rates (4.2.3), a row per setting and reader."""
    rates = Rates(artifact)
    keys = rates.of(FALSE_REFUSAL)
    note = rates.note(keys, "Lower is better.")
    return Section("False refusals", artifact, ("Rate", "By", *rates.names), by_measure(rates, keys), note)


def by_measure(rates: Rates, keys: Sequence[Key]) -> list[tuple]:
    """Returns a row per measure and reader, a column per version and control."""
    return [
        (f"{key[0]}, {key[1]}", rates.reader(key), *(rates.cell(key, name) for name in rates.names)) for key in keys
    ]


def form(artifact: Artifact) -> Section:
    """Share of answers that are prose, verifiable requests obeyed, and length."""
    rates = Rates(artifact)
    keys = rates.of(FLUENT, OBEYED)
    rows = [
        (name, *(rates.cell(key, name) for key in keys),
         f"{one['words']:.0f} ({one['low']:.0f}–{one['high']:.0f})")
        for name, one in rates.lengths.items()
    ]  # fmt: skip
    head = ("Version", *(rates.head(key) for key in keys), "words, median")
    note = rates.note(keys, f"Obeyed: by {CHECKS}, not by a model. Words: of answers to prompts without an attack.")
    return Section("Fluency, verifiable requests and length", artifact, head, rows, note)


def paired_tests(artifact: Artifact) -> Section:
    """Paired differences of the rates between the versions that matter most."""
    rates = Rates(artifact)
    rejection = [name for name in rates.versions if name.startswith("RLHF-v")][-1:]
    pairs = [(CHAT, BASE), (CHAT, SFT), *((name, SFT) for name in rejection), (PPO, *rejection), (TOLD, CHAT)]
    pairs = [pair for pair in pairs if any(key[3:] == pair for key in rates.tests)]
    rows = [
        (*key, *(_difference(rates.tests.get((*key, *pair))) for pair in pairs))
        for key in rates.axes
        if any((*key, *pair) in rates.tests for pair in pairs)
    ]
    head = ("Measure", "Prompts", "By", *(f"{first} − {second}" for first, second in pairs))
    note = "Percentage points on the prompts that both answered, 95 % paired bootstrap intervals, McNemar's exact p."
    return Section("Paired differences of the rates", artifact, head, rows, note)


def _difference(row: dict | None) -> str:
    if row is None:
        return "–"
    p = "< .001" if row["p"] < 0.001 else f"{row['p']:.3f}"
    return f"{100 * row['difference']:+.1f} ({100 * row['low']:+.0f} to {100 * row['high']:+.0f}), p {p}"


def temperature_curve(artifact: Artifact) -> Section:
    """Figure 8 as win rates: a row per version, the helpfulness win rate and the variety at every temperature."""
    rows, measured, choice = (metric(artifact, name) for name in ("rows", "measured", "choice"))
    found = {(row["version"], row["judge"], row["temperature"]): row for row in rows}
    varied = {(row["version"], row["temperature"]): f"{100 * row['distinct']:.0f} %" for row in measured}
    temperatures, versions = (list(dict.fromkeys(row[key] for row in measured)) for key in ("temperature", "version"))
    head = (
        "Version",
        "best T",
        *(f"{judge}, T = {t}" for judge in RATERS for t in temperatures),
        *(f"variety, T = {t}" for t in temperatures),
    )
    cells = [
        (
            version,
            choice[version],
            *(interval(found.get((version, judge, t)), "win_rate") for judge in RATERS for t in temperatures),
            *(varied[version, t] for t in temperatures),
        )
        for version in versions
    ]
    note = (
        f"{metric(artifact, 'prompts')} validation helpfulness prompts. The helpfulness reward model of the last round "
        f"chooses the temperatures: for {BASE} the best, for the others the lowest that is as good within one standard "
        "error. The independent judge takes no part in the choice. Win "
        f"rates against {BASE} at its best temperature, 95 % bootstrap intervals. Variety: the share of distinct word "
        "trigrams in all answers."
    )
    return Section("Win rates by sampling temperature", artifact, head, cells, note)


READERS: tuple[tuple[str, Callable[[Artifact], Section]], ...] = (
    ("win_rates", helpfulness),
    ("win_rates", harmlessness),
    ("answer_rates", violations),
    ("answer_rates", false_refusals),
    ("answer_rates", form),
    ("answer_rates", paired_tests),
    ("temperature_curve", temperature_curve),
)
