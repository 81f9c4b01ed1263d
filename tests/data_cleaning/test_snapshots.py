"""Names of snapshots: dates and nothing else, in the order of the dates."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning.snapshots import DATE, snapshot_order

DATES = st.dates(datetime.date(1, 1, 1))
FORMS = st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d"])


def name_of(date, form, counter):
    year = f"{date.year:04}"  # strftime pads no years on Linux
    return form.replace("%Y", year).replace("%m", f"{date.month:02}").replace("%d", f"{date.day:02}") + (
        f".{counter}" if counter else ""
    )


@given(DATES, DATES, FORMS, st.integers(0, 12), st.integers(0, 12))
def test_names_of_one_form_are_in_the_order_of_dates_and_counters(one, other, form, first, second):
    names = name_of(one, form, first), name_of(other, form, second)
    shortened = [name_of(date, form, 0) for date in (one, other)]
    expected = (shortened[0], first) < (shortened[1], second)
    assert (snapshot_order(names[0]) < snapshot_order(names[1])) == expected


@given(DATES, FORMS, st.integers(0, 12))
def test_base_is_the_oldest_and_a_year_precedes_its_months(date, form, counter):
    assert snapshot_order("base") < snapshot_order(name_of(date, form, counter))
    year, month, day = (snapshot_order(name_of(date, one, counter)) for one in ("%Y", "%Y-%m", "%Y-%m-%d"))
    assert year < month < day


WRONG = [
    "",
    "..",
    "laptop",
    "Base",
    "2026-9",
    "2026/12",
    "2026-12/01",
    "2026-13",
    "2026-00",
    "2026-12-00",
    "2026-02-30",
]
WRONG += ["2025-02-29", "0000", "26-12", "20261201", "2026-12-1", "2026-12.", "2026-12.0", "2026-12.02", "2026.2.2"]
WRONG += ["2026-12 ", " 2026", "2026-12\n", "２０２６", "2026-12-01T00:00", "-2026", "2026-12_2", "2026-W50", "v2026"]


@pytest.mark.parametrize("name", WRONG)
def test_any_other_name_is_refused_in_one_line_that_says_what_to_write(name):
    with pytest.raises(ValueError, match="write YYYY, YYYY-MM or YYYY-MM-DD") as caught:
        snapshot_order(name)
    assert "\n" not in str(caught.value)


@given(st.one_of(st.text(), st.text("0123456789-.", max_size=12), st.from_regex(DATE, fullmatch=True)))
def test_two_names_never_mean_one_snapshot_and_every_name_is_a_folder(name):
    try:
        year, month, day, counter = snapshot_order(name) or (None,) * 4
    except ValueError:
        return
    if name == "base":
        return
    parts = "-".join([f"{year:04}", *(f"{part:02}" for part in (month, day) if part)])
    assert name == parts + (f".{counter}" if counter else "")
