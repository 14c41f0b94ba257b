"""Ember's file, and a file that is read again when it changes."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from grid_server import eventually
from inferprint import Config
from inferprint.errors import ConfigError
from inferprint.flags import INTENSITY_STALE
from inferprint.intensity import Constant, open_intensity
from inferprint.intensity.ember import read_ember
from inferprint.intensity.live import Live
from inferprint.intensity.local_file import LocalFile, parse_file

STALE = frozenset({INTENSITY_STALE})
BASIS = "average, location-based, life-cycle"

# Header and rows as in the release of August 2025, and that of 2026, with other countries left out.
LONG_HEADER = (
    "Area,ISO 3 code,Year,Area type,Continent,Ember region,EU,OECD,G20,G7,ASEAN,Category,"
    "Subcategory,Variable,Unit,Value,YoY absolute change,YoY % change"
)
WIDE_HEADER = (
    "Area,ISO 3 code,Year,Area type,Electricity source,Is aggregated source,Generation (TWh),"
    "Emissions (MtCO2e),Emissions intensity (gCO2e/kWh)"
)


def long_row(area: str, code: str, year: int, variable: str, unit: str, value: object) -> str:
    kind = f"Country or economy,Europe,Europe,1,1,1,1,0,Power sector emissions,{variable}"
    return f"{area},{code},{year},{kind},{variable},{unit},{value},,"


LONG = "\n".join(
    [
        LONG_HEADER,
        long_row("France", "FRA", 2023, "CO2 intensity", "gCO2/kWh", 56.02),
        long_row("France", "FRA", 2024, "CO2 intensity", "gCO2/kWh", 41.75),
        long_row("France", "FRA", 2025, "CO2 intensity", "gCO2/kWh", ""),
        long_row("France", "FRA", 2025, "Total emissions", "mtCO2", 22.1),
        long_row("World", "", 2024, "CO2 intensity", "gCO2/kWh", 471.5),
        "",
    ]
)
WIDE = "\n".join(
    [
        WIDE_HEADER,
        "France,FRA,2023,Country or economy,Total generation,True,514.1,28.8,56.02",
        "France,FRA,2024,Country or economy,Total generation,True,556.3,23.2,41.75",
        "France,FRA,2024,Country or economy,Coal,False,1.1,1.1,970.1",
        "France,FRA,2024,Country or economy,Demand,False,460.1,,",
        "World,,2024,Region,Total generation,True,30900.1,14570.0,471.5",
    ]
)
OLD = LONG.replace("Area,ISO 3 code", "Area,Country code")


@pytest.mark.parametrize("text", [LONG, OLD, WIDE, "\ufeff" + LONG])
@pytest.mark.parametrize(
    ("location", "region", "value"),
    [
        ("FRA", "FRA", 41.75),
        ("fr", "FRA", 41.75),
        ("France", "FRA", 41.75),
        ("aws:eu-west-3", "FRA", 41.75),
        ("World", "World", 471.5),
    ],
)
def test_ember_gives_the_latest_year_that_it_has(
    tmp_path: Path, text: str, location: str, region: str, value: float
) -> None:
    """In each of its formats, by code, name or cloud region; years without a value are none."""
    file = tmp_path / "ember.csv"
    file.write_text(text, "utf-8")
    got = read_ember(str(file), location)
    assert (got.value, got.year, got.region) == (value, 2024, region)
    assert (got.source, got.licence, got.basis) == (
        "Ember, Yearly Electricity Data",
        "CC BY 4.0",
        BASIS,
    )


@pytest.mark.parametrize(
    ("text", "location", "field", "said"),
    [
        (LONG, None, "location", "a country such as 'FRA'"),
        (LONG, "DEU", "location", "a CO2 intensity in gCO2/kWh"),
        (LONG, "Atlantis", "location", "a CO2 intensity in gCO2/kWh"),
        (LONG.replace("gCO2/kWh", "lb/MWh"), "FRA", "location", "a CO2 intensity in gCO2/kWh"),
        (LONG[:-10], "FRA", "carbon_intensity_source", "cells, and 18 columns"),
        (LONG.replace("Variable", "Thing"), "FRA", "carbon_intensity_source", "column Variable"),
        (LONG.replace("41.75", "high"), "FRA", "carbon_intensity_source", "'high' is no finite"),
        ("", "FRA", "carbon_intensity_source", "it has no column Area"),
    ],
)
def test_a_file_that_is_not_embers_is_refused(
    tmp_path: Path, text: str, location: str | None, field: str, said: str
) -> None:
    """With the column or the line at fault, or the place that it lacks."""
    file = tmp_path / "ember.csv"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_ember(str(file), location)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_embers_file_is_the_same_at_all_times(tmp_path: Path) -> None:
    """Opened by the settings, it takes the place of the static figure."""
    file = tmp_path / "ember.csv"
    file.write_text(LONG)
    config = Config(carbon_intensity_source=f"ember:{file}", location="FRA")
    got = open_intensity(config, None)
    assert isinstance(got, Constant)
    assert got.over(0, 1) == got.over(1e9, 1e9)
    with pytest.raises(ConfigError, match="No such file"):
        open_intensity(Config(carbon_intensity_source="ember:/no/file", location="FRA"), None)


ROWS = [
    {"time": "2026-03-01T00:00:00Z", "value": 50},
    {"time": "2026-03-01T01:00:00Z", "value": 70, "low": 60, "high": 90},
]
MARCH = 1_772_323_200.0


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps({"rows": ROWS, "source": "a test", "basis": BASIS}),
        f"# source: a test\n# basis: {BASIS}\ntime,value,low,high\n"
        "2026-03-01T01:00:00+00:00,70,60,90\n2026-03-01T01:00:00+01:00,50,,\n",
        f"time,value\n{MARCH:.0f},50\n{MARCH + 3600:.0f},70\n",
    ],
)
def test_a_file_has_values_with_their_times(text: str) -> None:
    """As JSON or CSV, in any order, with any offset; the last is as long as the one before."""
    first, second = parse_file(text, "x")
    assert (first.start_s, first.end_s, first.factor.value) == (MARCH, MARCH + 3600, 50)
    assert (second.start_s, second.end_s, second.factor.value) == (MARCH + 3600, MARCH + 7200, 70)
    if "source" in text:
        assert (first.factor.source, first.factor.basis) == ("a test", BASIS)
        assert (second.factor.low, second.factor.high) == (60, 90)


@pytest.mark.parametrize("text", ["56.1", " 56.1\n", '{"value": 56.1}', '{"value": "56.1"}'])
def test_a_file_may_have_one_value(text: str) -> None:
    """Which holds at all times; its source is the file where it names none."""
    (only,) = parse_file(text, "grid.json")
    assert (only.start_s, only.end_s, only.factor.value) == (-math.inf, math.inf, 56.1)
    assert only.factor.source == "file grid.json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected time, value"),
        ("[]", "it has no rows"),
        ("{}", "neither a value nor rows"),
        ('{"rows": 5}', "neither a value nor rows"),
        ("[1, 2]", "neither a value nor rows"),
        ("[" * 5000, ""),
        ('{"value": null}', "None is no finite number"),
        ('{"value": true}', "True is no finite number"),
        ("NaN", "expected time, value"),
        ("-5", "-5 is no finite number of at least 0"),
        ('{"value": 1e999}', "inf is no finite number"),
        ('{"value": 5, "unit": "lb/MWh"}', "its unit is 'lb/MWh'"),
        ('{"value": 5, "basis": "marginal"}', "its basis is 'marginal'"),
        ('{"value": 5, "year": 26}', "its year is '26'"),
        ('{"value": 5, "vlaue": 6}', "unknown: ['vlaue']"),
        ('{"value": 5, "low": 6, "high": 7}', "expected to rise"),
        (
            '[{"time": "2026-03-01T00:00:00", "value": 5}]',
            "row 1: '2026-03-01T00:00:00' is no time",
        ),
        ('[{"time": 0, "value": 5}, {"time": 0.0, "value": 5}]', "row 2: 0.0 has a value already"),
        ('[{"time": 0}]', "row 1: it has ['time']"),
        ("time,value\n0,50\n1\n", "line 3 has 1 cells"),
    ],
)
def test_content_that_cannot_be_used_is_named(text: str, said: str) -> None:
    """With the row at fault."""
    with pytest.raises((ValueError, RecursionError)) as caught:
        parse_file(text, "x")
    assert said in str(caught.value)


class Clock:
    """Wall time that stands still until it is moved."""

    def __init__(self, now_s: float = MARCH) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """The new value holds from when it was seen, the old one before; nothing is flagged."""
    file, clock = tmp_path / "grid.json", Clock()
    file.write_text("100")
    live = Live(LocalFile(str(file)), 10.0, now=clock)
    assert live.look() is None
    clock.now_s += 1000
    file.write_text("300.0")
    assert live.look() is None
    known = live.over(MARCH, MARCH + 2000)
    assert known.factor is not None
    assert known.factor.value == pytest.approx(200)
    assert live.over(MARCH, MARCH + 1000 + 30).flags == frozenset()
    clock.now_s += 1000
    assert live.look() is None
    assert live.over(MARCH + 2000, MARCH + 2030).flags == frozenset()


@pytest.mark.parametrize("broken", ["", "{", "-1", "time,value\n0,x\n", None])
def test_broken_content_keeps_the_last_good_value(tmp_path: Path, broken: str | None) -> None:
    """Flagged from when it was seen, until the file is right again."""
    file, clock = tmp_path / "grid.json", Clock()
    file.write_text("100")
    live = Live(LocalFile(str(file)), 10.0, now=clock)
    assert live.look() is None
    clock.now_s += 10
    file.unlink() if broken is None else file.write_text(broken)
    for _ in range(3):
        assert live.look() is not None
        known = live.over(MARCH, MARCH + 11)
        assert known.factor is not None
        assert (known.factor.value, known.flags) == (100, STALE)
        assert live.over(MARCH, MARCH + 10).flags == frozenset()
    clock.now_s += 10
    file.write_text("300")
    assert live.look() is None
    known = live.over(clock.now_s, clock.now_s + 1)
    assert known.factor is not None
    assert (known.factor.value, known.flags) == (300, frozenset())


def test_another_basis_is_not_mixed_in(tmp_path: Path) -> None:
    """A file that turns from average to marginal is a fault: the last values stay, flagged."""
    file, clock = tmp_path / "grid.json", Clock()
    file.write_text(json.dumps({"value": 100, "basis": "average, location-based"}))
    live = Live(LocalFile(str(file)), 10.0, now=clock)
    assert live.look() is None
    clock.now_s += 10
    file.write_text(json.dumps({"value": 900, "basis": "marginal, location-based"}))
    for _ in range(2):
        fault = live.look()
        assert fault is not None
        assert "never mixed" in str(fault)
        known = live.over(clock.now_s + 1, clock.now_s + 2)
        assert known.factor is not None
        assert (known.factor.value, known.flags) == (100, STALE)


def test_the_settings_open_a_file_and_follow_it(tmp_path: Path) -> None:
    """In the background: nobody has to ask for a new value."""
    file = tmp_path / "grid.json"
    file.write_text("100")
    config = Config(carbon_intensity_source=f"file:{file}", intensity_refresh_s=1.0)
    live = open_intensity(config, None)

    def now_is(value: float) -> bool:
        factor = live.over(time.time(), time.time()).factor
        return factor is not None and factor.value == value

    assert now_is(100)
    live.start()
    try:
        file.write_text("250.5")
        eventually(lambda: now_is(250.5))
    finally:
        live.close()


def test_a_file_that_is_broken_at_the_start_is_refused(tmp_path: Path) -> None:
    """By the settings, before anything is served; a missing one likewise."""
    file = tmp_path / "grid.csv"
    for content in (None, "hours,values\n"):
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigError, match="a JSON or CSV file of carbon intensities, but"):
            open_intensity(Config(carbon_intensity_source=f"file:{file}"), None)
