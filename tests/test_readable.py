"""Figures as people read them: units that keep them short, and digits that they carry."""

from __future__ import annotations

import dataclasses
import locale
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferprint.impacts import Carbon, Cost, Materials, PrimaryEnergy, Water
from inferprint.ranges import Range
from inferprint.readable import CARBON, MATERIALS, figure, in_wh, in_words, number, scale_of
from receipts import component, receipt
from strategies import ranges

UNITS = ["J", "Wh", "L", "s", "m", "W", CARBON, MATERIALS, "EUR"]
finite = st.floats(-1e15, 1e15)
usual = st.floats(1e-6, 1e12)
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def digits(text: str) -> int:
    """Significant digits of a number as written; zeros that lead are none."""
    mantissa = text.partition("e")[0].lstrip("-").replace(".", "").lstrip("0")
    return len(mantissa) if "." in text else len(mantissa.rstrip("0"))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.24, "Wh", "0.24 Wh"),
        (0.034, "Wh", "34 mWh"),
        (1234.0, "Wh", "1.23 kWh"),
        (0.0007, "L", "0.7 mL"),
        (2500.0, "L", "2.5 m³"),
        (0.041, CARBON, "41 mg CO2e"),
        (2.4e7, CARBON, "24 t CO2e"),
        (1.6e-4, MATERIALS, "0.16 mg Sb eq"),
        (4.1e6, "J", "4.1 MJ"),
        (0.271, "s", "0.271 s"),
        (96.0, "s", "96 s"),
        (400.0, "s", "6.67 min"),
        (9_000.0, "s", "2.5 h"),
        (0.0123, "EUR", "0.0123 EUR"),
        (1234.0, "JPY", "1234 JPY"),
        (-0.0000123, "EUR", "-0.0000123 EUR"),
        (3.4e-9, "EUR", "3.4e-9 EUR"),
        (0.0, "Wh", "0 Wh"),
        (-0.0, "Wh", "0 Wh"),
        (2e-15, "J", "0.000002 nJ"),
        (999.96, "J", "1 kJ"),
        (119.97, "s", "2 min"),
        (None, "Wh", "unknown"),
        (float("nan"), "J", "nan J"),
        (float("inf"), "J", "inf J"),
    ],
)
def test_an_exact_figure_has_three_digits(value: float | None, unit: str, text: str) -> None:
    """With the prefix that keeps it readable, and no zeros that say nothing."""
    assert figure(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Range(0.21, 0.24, 0.27), "0.24 Wh (0.21 to 0.27)"),
        (Range(0.7, 1.0, 1.3), "1.0 Wh (0.7 to 1.3)"),
        (Range(0.4, 2.7, 5.0), "3 Wh (0.4 to 5)"),
        (Range(1199.0, 1200.0, 1201.0), "1.20 kWh"),
        (Range(900.0, 1234.0, 1500.0), "1.2 kWh (0.9 to 1.5)"),
        (Range(0.0, 0.0, 5.0), "0 Wh (0 to 5)"),
        (Range(-3.0, -2.0, 1.0), "-2 Wh (-3 to 1)"),
        (Range.exactly(0.24), "0.24 Wh"),
        (0.24, "0.24 Wh"),
    ],
)
def test_the_interval_stands_behind_it(value: Range | float, text: str) -> None:
    """In the same unit and to the same place; where it reads as the figure, it is left out."""
    assert figure(value, "Wh", interval=True) == text


@given(usual, st.sampled_from(UNITS), st.floats(0.3, 0.99))
def test_a_figure_of_30_percent_has_two_digits_at_most(mid: float, unit: str, half: float) -> None:
    """And one of more than that no more."""
    value = Range.within(mid, half)
    assert digits(number(value, scale_of(value, unit))) <= 2


@given(usual, st.sampled_from(UNITS), st.floats(1e-6, 0.99))
@example(1.05, "J", 0.051)
@example(9.99, "J", 0.3)
def test_no_digit_without_something_behind_it(mid: float, unit: str, half: float) -> None:
    """Rounding moves a figure by a quarter of its half-width, or in its fourth digit; the last
    digit is worth a twentieth of the half-width, or it is the only one.
    """
    value = Range.within(mid, half)
    scale = scale_of(value, unit)
    text = number(value, scale)
    moved = abs(float(text) * scale.size - mid)
    assert moved <= max(mid * half / 4, mid / 200) * (1 + 1e-9)
    last = 10.0 ** -len(text.partition("e")[0].partition(".")[2])
    if "e" not in text and "." in text and digits(text) > 1:
        assert last * scale.size >= mid * half / 20 * (1 - 1e-9)


@given(
    st.one_of(ranges(finite), finite, ranges(st.floats(allow_nan=False))), st.sampled_from(UNITS)
)
@example(Range(5e-324, 5e-324, 1.7e308), "J")
def test_every_figure_can_be_written(value: Range | float, unit: str) -> None:
    """As numbers with one unit, whatever they are; a finite interval's ends in order around it."""
    text = figure(value, unit, interval=True)
    found = [float(part) for part in re.findall(r"-?(?:\d[\d.]*(?:e-?\d+)?|inf)(?![\w³])", text)]
    assert "--" not in text
    if len(found) == 3:
        mid, low, high = found
        assert low <= mid <= high or float("inf") in (abs(low), abs(high))


@given(finite, st.sampled_from(UNITS))
def test_what_is_not_nothing_does_not_read_as_nothing(value: float, unit: str) -> None:
    """0 is said of 0 alone, and a sign is kept."""
    shown = float(figure(value, unit).split()[0])
    assert (shown > 0) == (value > 0)
    assert (shown < 0) == (value < 0)


def test_it_does_not_depend_on_the_locale() -> None:
    """A point is a point, also where people write a comma."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        for name in ("de_DE.UTF-8", "C.UTF-8"):
            try:
                locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
            assert figure(1234.5, "EUR") == "1234 EUR"
            assert figure(0.25, "Wh") == "0.25 Wh"
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_joules_in_wh() -> None:
    """864 J is 0.24 Wh, with the interval where it is asked for."""
    assert in_wh(864.0) == "0.24 Wh"
    assert in_wh(Range(756.0, 864.0, 972.0), interval=True) == "0.24 Wh (0.21 to 0.27)"
    assert in_wh(None) == "unknown"


def test_a_receipt_in_words() -> None:
    """A line for each figure that is known, with its interval; carbon also where it is not."""
    made = receipt(parts={"gpu": component(360.0, 36.0, 3.6)})
    assert in_words(made).splitlines() == [
        "energy      0.111 Wh, measured",
        "  active    0.1 Wh",
        "  idle      10 mWh",
        "  standing  1 mWh",
        "carbon      unknown",
        "duration    2 s",
    ]


def test_every_impact_in_words() -> None:
    """Carbon, water, materials, primary energy and money, each in a unit of its own."""
    made = receipt(parts={"gpu": component(360.0, 36.0, 3.6)})
    made = dataclasses.replace(
        made,
        carbon=Carbon(0.035, 0.041, 0.047),
        water=Water(0.0006, 0.0007, 0.0008),
        cost=Cost(-0.002, -0.001, -0.0005, "EUR"),
        materials=Materials(1e-6, 1e-6, 1e-6),
        primary_energy=PrimaryEnergy(0.0041, 0.0041, 0.0041),
    )
    text = in_words(made, alike=["a lamp for 44 s"])
    assert "carbon          41 mg CO2e (35 to 47)" in text
    assert "water           0.70 mL (0.60 to 0.80)" in text
    assert "materials       1 µg Sb eq" in text
    assert "primary energy  4.1 kJ" in text
    assert "cost            -0.0010 EUR (-0.0020 to -0.0005)" in text
    assert text.endswith("as much as      a lamp for 44 s")


def test_unknown_energy_in_words() -> None:
    """It is said to be unknown, and nothing else is made of it."""
    assert in_words(receipt()).splitlines()[0] == "energy    not known"
