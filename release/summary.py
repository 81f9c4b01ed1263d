"""The headline numbers of a run for the top of the README: what both raters say of Base and Chat, and a control."""

from data_cleaning.report.units import duration
from modeling.evaluation.controls import CONSTANT
from modeling.evaluation.controls import REFUSAL as REFUSE_ALL
from modeling.evaluation.measures import CHECKS, FALSE_REFUSAL, JUDGE, OBEYED, REFUSAL, RULE, VIOLATION
from modeling.evaluation.pairwise import REWARD_MODELS
from modeling.evaluation.versions import BASE, CHAT, SFT
from release.answer_tables import Rates, agreement
from release.figures import totals
from release.lineage import Artifact, Lineage
from release.section import interval, metric

HEAD = ("What", "Independent judge", "Reward models or rules", "Best control without a model")
SHOWN = (
    (VIOLATION, "all adversarial", "Violations on adversarial prompts"),
    (REFUSAL, "first messages", "Refusal or safe redirection, adversarial first messages"),
    (REFUSAL, "later turns", "Refusal or safe redirection, adversarial later turns"),
    (FALSE_REFUSAL, "ordinary and everyday", "False refusals, ordinary and everyday prompts"),
    (FALSE_REFUSAL, "after a refusal", "False refusals, everyday questions right after a refusal"),
    (FALSE_REFUSAL, "borderline", "False refusals, borderline prompts"),
)
Row = tuple[str, str, str, str]


def summary(found: dict[str, Artifact], chain: Lineage) -> list[Row]:
    """Returns a row per claim. `found`: the evaluations by role."""
    rates = Rates(found["answer_rates"])
    return [
        *(by_both(rates, *shown) for shown in SHOWN if (shown[0], shown[1], JUDGE) in rates.axes),
        *(wins(found["win_rates"], against) for against in (BASE, SFT)),
        *([obeyed(rates)] if rates.of(OBEYED) else []),
        ("Median words of an answer", change(rates, "words"), "", ""),
        ("Time of all stages", duration(totals(chain.artifacts)["hours"] * 3600), "", ""),
    ]


def by_both(rates: Rates, measure: str, on: str, name: str) -> Row:
    """A rate of Base and Chat by the judge and by the rules."""
    keys = [(measure, on, reader) for reader in (JUDGE, RULE)]
    return f"{name}, {BASE} → {CHAT}", *(first_to_last(rates, key) for key in keys), control(rates, keys)


def obeyed(rates: Rates) -> Row:
    """Verifiable requests are checked by rules alone: nobody else's opinion counts."""
    key = (OBEYED, "verifiable", CHECKS)
    return f"Verifiable requests obeyed, {BASE} → {CHAT}", "", first_to_last(rates, key), control(rates, [key])


def first_to_last(rates: Rates, key: tuple[str, str, str]) -> str:
    first, last = (interval(rates.found.get((*key, name)), "rate") for name in (BASE, CHAT))
    return f"{rates.mark(key)}{first} → **{last}**{agreement(rates.aucs, rates.axes[key])}"


def control(rates: Rates, keys: list[tuple[str, str, str]]) -> str:
    """The better of the two controls by the first reader, with its figures by all readers."""
    found = {name: [rates.found[*key, name] for key in keys] for name in (CONSTANT, REFUSE_ALL)}
    sign = 1 if found[CONSTANT][0]["lower_is_better"] else -1
    name = min(found, key=lambda one: sign * found[one][0]["rate"])
    return f"{name.lower()}: " + ", ".join(f"{100 * row['rate']:.1f} %" for row in found[name])


def wins(artifact: Artifact, against: str) -> Row:
    """Helpfulness of Chat against a baseline by both raters, and the better control's against the same."""
    rows = [row for row in metric(artifact, "rows") if (row["axis"], row["against"]) == ("helpfulness", against)]
    found = {(row["version"], row["judge"]): row for row in rows}
    name = max((CONSTANT, REFUSE_ALL), key=lambda one: found[one, JUDGE]["win_rate"])
    best = ", ".join(f"{100 * found[name, rater]['win_rate']:.1f} %" for rater in (JUDGE, REWARD_MODELS))
    shown = (f"**{interval(found[CHAT, rater], 'win_rate')}**" for rater in (JUDGE, REWARD_MODELS))
    return f"Helpfulness win rate, {CHAT} against {against}", *shown, f"{name.lower()}: {best}"


def change(rates: Rates, name: str) -> str:
    first, last = (rates.lengths[version][name] for version in (BASE, CHAT))
    return f"{BASE} {first:.0f} → {CHAT} **{last:.0f}**"
