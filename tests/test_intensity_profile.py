"""Profiles of a day: hours by local time, clock changes, and files that are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.errors import ConfigError
from inferprint.intensity.profile import Profile, read_profile

PARIS = ZoneInfo("Europe/Paris")
HEAD = "# timezone: Europe/Paris\n# source: a test\n# basis: average, location-based, direct\n"


def by_hour(zone: str = "Europe/Paris") -> str:
    """A profile whose value is 100 + the hour."""
    rows = "".join(f"{hour},{100 + hour}\n" for hour in range(24))
    return f"# timezone: {zone}\nhour,value\n{rows}"


def profile(folder: Path, text: str) -> Profile:
    file = folder / "profile.csv"
    file.write_text(text)
    return read_profile(str(file))


def mean_over(found: Profile, start: datetime, end: datetime) -> float:
    known = found.over(start.timestamp(), end.timestamp())
    assert known.factor is not None
    assert not known.flags
    return known.factor.value


def test_day_and_night_are_two_rows(tmp_path: Path) -> None:
    """Ranges of hours have both ends, and may go past midnight."""
    found = profile(tmp_path, HEAD + "hour,value,low,high\n7-21,60,50,80\n22-6,35,30,40\n")
    day = datetime(2026, 3, 4, tzinfo=PARIS)
    for hour in range(24):
        assert mean_over(found, *[day.replace(hour=hour)] * 2) == (60 if 7 <= hour <= 21 else 35)
    known = found.over(day.timestamp(), (day + timedelta(days=1)).timestamp()).factor
    assert known is not None
    assert known.value == pytest.approx((15 * 60 + 9 * 35) / 24)
    assert known.range.low == pytest.approx((15 * 50 + 9 * 30) / 24)
    assert (known.source, known.basis) == ("a test", "average, location-based, direct")


def test_weekends_and_months_have_their_own_hours(tmp_path: Path) -> None:
    """By the local date: Friday night in New York is Saturday in Paris."""
    rows = "0-23,weekday,4-10,1\n0-23,weekday,11-3,2\n0-23,weekend,,3\n"
    found = profile(tmp_path, HEAD + "hour,day,month,value\n" + rows)
    for moment, value in [
        (datetime(2026, 7, 3, 12, tzinfo=PARIS), 1),
        (datetime(2026, 1, 2, 12, tzinfo=PARIS), 2),
        (datetime(2026, 7, 3, 20, tzinfo=ZoneInfo("America/New_York")), 3),
    ]:
        assert mean_over(found, moment, moment) == value


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (datetime(2026, 3, 28, tzinfo=PARIS), list(range(24))),
        (datetime(2026, 3, 29, tzinfo=PARIS), [0, 1, *range(3, 24)]),
        (datetime(2026, 10, 25, tzinfo=PARIS), [0, 1, 2, 2, *range(3, 24)]),
    ],
)
def test_clock_changes_make_short_and_long_days(
    tmp_path: Path, day: datetime, hours: list[int]
) -> None:
    """In Paris, 29 March 2026 has no hour 2 and 25 October has it twice."""
    found = profile(tmp_path, by_hour())
    next_day = (day + timedelta(days=1)).replace(hour=0)
    assert (next_day.timestamp() - day.timestamp()) / 3600 == len(hours)
    expected = sum(100 + hour for hour in hours) / len(hours)
    assert mean_over(found, day, next_day) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("Asia/Kolkata", "2026-03-04T00:00:00+05:30", {0: 60}),
        ("Asia/Kathmandu", "2026-03-04T00:30:00+05:45", {0: 30, 1: 30}),
        # Half an hour is put in: from 2:00 to 2:30.
        ("Australia/Lord_Howe", "2026-10-04T01:30:00+10:30", {1: 30, 2: 30}),
    ],
)
def test_zones_need_not_be_whole_hours_apart(
    tmp_path: Path, zone: str, moment: str, hours: dict[int, int]
) -> None:
    """Local hours begin where they do there, however far from Greenwich that is."""
    found = profile(tmp_path, by_hour(zone))
    start = datetime.fromisoformat(moment)
    expected = sum(minutes * (100 + hour) for hour, minutes in hours.items()) / 60
    got = mean_over(found, start, start + timedelta(hours=1))
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return profile(tmp_path_factory.mktemp("profile"), by_hour())


@given(st.floats(0, 4e9), st.floats(0, 90_000), st.floats(0, 90_000))
def test_neighbouring_spans_add_up(hourly: Profile, start: float, one: float, two: float) -> None:
    """Over hours, midnights and clock changes alike."""
    a, b, c = start, start + one, start + one + two
    known = [hourly.over(*span).factor for span in ((a, b), (b, c), (a, c))]
    values = [factor.value for factor in known if factor is not None]
    assert len(values) == 3
    assert all(100 <= value <= 123 + 1e-9 for value in values)
    parts = values[0] * (b - a) + values[1] * (c - b)
    assert parts == pytest.approx(values[2] * (c - a), abs=1e-3)


@given(st.floats(), st.floats())
def test_no_time_raises(hourly: Profile, start_s: float, end_s: float) -> None:
    """Of times that no calendar has, and of spans of years, nothing is known."""
    assert (
        hourly.over(start_s, end_s).factor is None or 0 <= end_s - start_s < 4e7 or end_s < start_s
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (by_hour().replace("13,113\n", ""), "hour 13 of weekdays in month 1 has no value"),
        (HEAD + "hour,day,value\n0-23,weekday,1\n0-22,weekend,1\n", "hour 23 of weekends"),
        (by_hour() + "5,1\n", "line 27: hour 5 of weekdays in month 1 has a value already"),
        (by_hour().replace("113", "-1"), "line 16: '-1' is no finite number of at least 0"),
        (by_hour().replace("113", "nan"), "line 16: 'nan' is no finite number"),
        (by_hour().replace("13,113", "24,1"), "hour is '24'; expected 0 to 23"),
        (by_hour().replace("13,113", "noon,1"), "hour is 'noon'"),
        (by_hour().replace("13,113", "13"), "line 16 has 1 cells, and 2 columns"),
        (HEAD + "hour,day,value\n0-23,holiday,1\n", "day is 'holiday'"),
        (HEAD + "hour,month,value\n0-23,13,1\n", "month is '13'; expected 1 to 12"),
        (HEAD + "hour,value,low,high\n0-23,1,2,3\n", "expected to rise"),
        (HEAD + "hour,carbon\n", "expected hour, value and, where they apply, day"),
        ("", "expected hour, value"),
        (by_hour("Europe/Atlantis"), "an IANA time zone"),
        (by_hour("../etc/passwd"), "an IANA time zone"),
        (by_hour()[by_hour().index("hour") :], "an IANA time zone"),
        ("# basis: green\n" + by_hour(), "its basis is 'green'; expected average or marginal"),
        ("# basis: average, marginal, location-based\n" + by_hour(), "its basis is"),
        ("# unit: kg/kWh\n" + by_hour(), "its unit is 'kg/kWh'"),
        ("# tariff: cheap\n" + by_hour(), "unknown: ['tariff']"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the line or the hour that is at fault."""
    with pytest.raises(ConfigError) as caught:
        profile(tmp_path, text)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """One that is not there, and one that is no text."""
    file = tmp_path / "profile.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="a profile of the hours of a day, but"):
        read_profile(str(file))
