"""The footprint on the wire: exactly the agreed names, and null for what is not known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given

from inferprint import Cost, Range, Receipt
from inferprint.impacts import Carbon, Water
from inferprint.wire import METHODOLOGY_VERSION, footprint_of
from receipts import component, receipt
from strategies import receipts_of_any_kind

NAMES = [
    "request_id",
    "energy_joules",
    "active_joules",
    "idle_joules",
    "carbon_grams",
    "water_liters",
    "cost",
    "attribution_method",
    "provenance",
    "is_estimated",
    "methodology_version",
]


def full() -> Receipt:
    return receipt(
        parts={"gpu": component(540, 216, 108), "cpu": component(10, 5, 1)},
        carbon=Carbon(1.0, 2.0, 4.0),
        water=Water(0.1, 0.2, 0.3),
        cost=Cost(1e-5, 2e-5, 3e-5, currency="EUR"),
    )


def test_the_names_are_those_agreed() -> None:
    """In their order, and no more: other programs read them."""
    assert list(footprint_of(full())) == list(footprint_of(receipt())) == NAMES


def test_the_figures_are_the_receipts_middles() -> None:
    """Of energy, water and cost; carbon has the ends of its interval too."""
    found = footprint_of(full())
    assert (found["energy_joules"], found["active_joules"], found["idle_joules"]) == (880, 550, 221)
    assert found["carbon_grams"] == {"low": 1.0, "mid": 2.0, "high": 4.0}
    assert found["water_liters"] == 0.2
    assert found["cost"] == {"amount": 2e-5, "currency": "EUR"}
    assert (found["request_id"], found["attribution_method"]) == ("req-1", "equal-time")
    assert (found["provenance"], found["methodology_version"]) == ("measured", METHODOLOGY_VERSION)


def test_what_is_not_known_is_none() -> None:
    """Never 0, and never left out."""
    found = footprint_of(receipt())
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == set(NAMES[1:7])
    assert found["provenance"] == "unknown"


def test_a_number_that_json_has_no_word_for_is_none() -> None:
    """An end of an interval that is not finite, or a price."""
    odd = replace(
        full(),
        carbon=Carbon(0.0, 1.0, math.inf),
        cost=Cost(0.0, math.nan, 1.0, currency="EUR"),
    )
    found = json.loads(json.dumps(footprint_of(odd), allow_nan=False))
    assert found["carbon_grams"] == {"low": 0.0, "mid": 1.0, "high": None}
    assert found["cost"] == {"amount": None, "currency": "EUR"}


@pytest.mark.parametrize("flags", [frozenset(), frozenset({"short"})])
def test_a_settled_receipt_is_not_estimated(flags: frozenset[str]) -> None:
    """And a provisional one is, whatever else is said of either."""
    assert footprint_of(replace(full(), flags=flags))["is_estimated"] is False
    assert footprint_of(replace(full(), flags=flags | {"provisional"}))["is_estimated"] is True


@given(one=receipts_of_any_kind())
def test_any_receipt_has_a_footprint_that_is_json(one: Receipt) -> None:
    """It goes to JSON and back unchanged, and a figure is there if and only if it is known."""
    found = footprint_of(one)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    energy: dict[str, Range | None] = {
        "energy_joules": one.energy.total_j,
        "active_joules": one.energy.active_j,
        "idle_joules": one.energy.idle_j,
    }
    for name, figure in energy.items():
        assert (found[name] is None) == (figure is None)
