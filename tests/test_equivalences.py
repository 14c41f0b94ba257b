"""What else takes as much energy: each figure with its source, and none where nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from inferprint import ConfigError
from inferprint.equivalences import alike, load, shipped
from inferprint.ranges import Range
from strategies import ranges

ROW = """
[[equivalence]]
name = "lamp"
says = "a lamp for {}"
unit = "s"
value = 9.0
per = "W"
year = 2019
source = "somebody"
url = "https://example.org"
licence = "CC BY 4.0"
"""


def test_what_ships_has_its_sources() -> None:
    """Publisher, year, address and licence of each."""
    assert {one.name for one in shipped()} == {"electric_car", "kettle", "led_lamp", "phone"}
    for one in shipped():
        assert one.source
        assert one.year >= 2000
        assert one.url.startswith("https://")
        assert one.licence
        assert one.says.count("{}") == 1


def test_a_quarter_of_a_watt_hour() -> None:
    """By hand: 864 J over 756 J/m, 9 W, 41.76 kJ a charge and 335.2 kJ/L."""
    assert alike(864.0) == [
        "driving an electric car 1.1 m",
        "a 9 W LED lamp for 96 s",
        "0.0207 charges of a smartphone",
        "heating 2.58 mL of water from 20 to 100 °C, in a kettle without losses",
    ]


def test_nothing_is_like_what_is_not_known() -> None:
    """None is not 0 metres."""
    assert alike(None) == []


@given(ranges())
def test_every_energy_has_words(joules: Range) -> None:
    """None of them fails for any energy."""
    assert len(alike(joules)) == len(shipped())


@pytest.mark.parametrize(
    ("was", "is_", "named"),
    [
        ('source = "somebody"', "", "source"),
        ('source = "somebody"', 'source = " "', "source"),
        ("year = 2019", "", "year"),
        ('licence = "CC BY 4.0"', "", "licence"),
        ('url = "https://example.org"', "", "url"),
        ('per = "W"', 'per = "hp"', "per and unit"),
        ("value = 9.0", "", "value"),
        ("value = 9.0", "value = 0.0", "value"),
        ("value = 9.0", "value = 9.0\nlow = 10.0", "low and high"),
        ("[[equivalence]]", "[[equivalence", "equivalences"),
    ],
)
def test_one_without_a_source_is_refused(tmp_path: Path, was: str, is_: str, named: str) -> None:
    """So is one whose unit or value makes no sense; the error names which."""
    file = tmp_path / "equivalences.toml"
    file.write_text(ROW.replace(was, is_))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.field.startswith(named)


def test_a_row_that_is_whole_is_taken(tmp_path: Path) -> None:
    """The row that the test above breaks is good."""
    file = tmp_path / "equivalences.toml"
    file.write_text(ROW)
    assert alike(18.0, load(file)) == ["a lamp for 2 s"]
