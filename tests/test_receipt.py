"""The receipt: what it says, how it sums, and how it is written down."""

from __future__ import annotations

import contextvars
import dataclasses
import json
import math
import pickle
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferprint import Carbon, Cost, Energy, Range, Receipt, Tokens
from inferprint.records import Component, Provenance
from inferprint.testing import FakeClock, FakeSource
from receipts import component, receipt
from rig import by_hand
from strategies import ranges

components = st.builds(component, *(st.none() | st.floats(0, 1e9) for _ in range(3)))
carbons = st.builds(lambda figure: Carbon(figure.low, figure.mid, figure.high, figure), ranges())
costs = st.builds(lambda figure: Cost(figure.low, figure.mid, figure.high, "EUR", figure), ranges())


@st.composite
def receipts(draw: st.DrawFn, most_children: int = 2) -> Receipt:
    """Receipts in which anything may be unknown, with children that have children."""
    children = [
        draw(receipts(most_children=most_children - 1))
        for _ in range(draw(st.integers(0, most_children)))
    ]
    made = receipt(
        draw(st.text(max_size=5)),
        labels=draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)),
        outcome=draw(st.sampled_from(["ok", "error", "cancelled"])),
        duration_s=draw(st.floats(0, 1e6)),
        time_to_first_token_s=draw(st.none() | st.floats(0, 1e6)),
        tokens=Tokens(draw(st.none() | st.integers(0, 10**9))),
        parts=draw(st.dictionaries(st.sampled_from(get_args(Component)), components)),
        carbon=draw(st.none() | carbons),
        water=draw(st.none() | ranges()),
        cost=draw(st.none() | costs),
    )
    return dataclasses.replace(
        made,
        provenance=draw(st.sampled_from(get_args(Provenance))),
        flags=draw(st.frozensets(st.sampled_from(["short", "gap"]))),
        children=tuple(children),
    )


def figures(value: Any) -> Iterator[float]:
    """Every number in a nest of dicts and lists."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from figures(item)
    elif isinstance(value, float):
        yield value


def bounds(figure: Range | None) -> tuple[float, float, float]:
    """A range's three numbers."""
    assert figure is not None
    return figure.low, figure.mid, figure.high


# ---- written down ----------------------------------------------------------------------------


@settings(max_examples=40)
@given(receipts())
def test_json_holds_all_that_the_dict_holds(made: Receipt) -> None:
    """What is read back is what was written: plain values only, unknown as null, no NaN."""
    plain = made.to_dict()
    assert json.loads(made.to_json()) == plain
    assert list(plain) == [field.name for field in dataclasses.fields(Receipt)]
    assert all(math.isfinite(figure) for figure in figures(plain))


def test_a_dict_is_plain() -> None:
    """Ranges, times, flags and children are dicts, texts and lists that anything can store."""
    made = receipt(parts={"gpu": component(5.0, 1.0, None)})
    made = dataclasses.replace(made, flags=frozenset({"short", "gap"}), children=(made,))
    plain = made.to_dict()
    assert plain["energy"]["active_j"] == {"low": 5.0, "mid": 5.0, "high": 5.0}
    assert plain["energy"]["standing_j"] is None
    assert plain["energy"]["by_component"]["gpu"]["idle_j"]["mid"] == 1.0
    assert plain["flags"] == ["gap", "short"]
    assert datetime.fromisoformat(plain["started_at"]) == made.started_at
    assert plain["children"][0]["children"] == []


def test_a_figure_that_is_no_number_is_not_written() -> None:
    """JSON has no NaN; rather than a file that nobody can read, an error."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        receipt(duration_s=math.nan).to_json()


@settings(max_examples=40)
@given(receipts())
def test_a_receipt_is_one_line(made: Receipt) -> None:
    """For people, in a terminal and in a log, whatever the model is called."""
    assert len(str(made).splitlines()) == 1


def test_the_line_says_what_a_person_wants_to_know() -> None:
    """Model, time, tokens, energy in a readable unit with its parts, carbon, cost, flags."""
    made = receipt(
        tokens=Tokens(8, None, 300),
        parts={"gpu": component(1500.0, 250.0, 50.0)},
        carbon=Carbon(0.02, 0.028, 0.03),
        cost=Cost(0.1, 0.125, 0.2, "EUR"),
    )
    line = str(dataclasses.replace(made, flags=frozenset({"short"})))
    assert line == (
        "req-1 llama-3-8b ok 2 s in 8 out 300"
        " | 1.8 kJ = active 1.5 + idle 0.25 + standing 0.05"
        " | 28 mg CO2e | 0.12 EUR | measured | short"
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "| energy unknown |"),
        ({"gpu": component(total_j=0.0)}, "| 0 J = active and idle not told apart |"),
        (
            {"gpu": component(None, None, 0.25, total_j=2.0)},
            "| 2 J = active and idle not told apart + standing 0.25 |",
        ),
        ({"gpu": component(2e-6, 0.0)}, "| 2 µJ = active 2 + idle 0 |"),
        ({"gpu": component(3e9, 1e6)}, "| 3 GJ = active 3 + idle 0.001 |"),
    ],
)
def test_the_line_tells_unknown_from_nothing(parts: Any, said: str) -> None:
    """An energy that is not known is not shown as 0, and no part is made up."""
    assert said in str(receipt(parts=parts))


# ---- a record --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(receipts())
def test_a_receipt_can_be_sent_to_another_process(made: Receipt) -> None:
    """It survives pickling, as a queue or a pool of processes does it."""
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Receipt)])
def test_a_receipt_does_not_change(field: str) -> None:
    """No field can be set once it was made."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(receipt(), field, None)


# ---- the whole workflow ----------------------------------------------------------------------


def energies(made: Receipt) -> list[Energy]:
    """The energy of a receipt and of all below it."""
    return [made.energy, *(energy for child in made.children for energy in energies(child))]


@settings(max_examples=40)
@given(receipts())
def test_a_workflow_is_the_sum_of_its_requests(made: Receipt) -> None:
    """Every part is the sum over the family, or not known where one member's is not."""
    whole = made.with_children()
    for name in ("active_j", "idle_j", "standing_j", "total_j"):
        parts = [getattr(energy, name) for energy in energies(made)]
        total = getattr(whole.energy, name)
        if None in parts:
            assert total is None
        else:
            assert float(total) == pytest.approx(sum(map(float, parts)))
            assert total.low <= total.mid <= total.high
    assert whole.children == ()


@settings(max_examples=40)
@given(receipts())
def test_a_workflow_is_no_better_known_than_its_requests(made: Receipt) -> None:
    """Provenance is the weakest and flags are all of the family's."""
    whole, family = made.with_children(), [made]
    for member in family:
        family += member.children
    order = get_args(Provenance)
    assert order.index(whole.provenance) == max(order.index(m.provenance) for m in family)
    assert whole.flags == frozenset().union(*(member.flags for member in family))


def test_all_that_energy_means_is_summed() -> None:
    """Carbon, water, money and what else there is are the family's, parts included."""
    one = dataclasses.replace(
        receipt(
            carbon=Carbon(1.0, 2.0, 3.0, operational_g=Range(1.0, 2.0, 3.0)),
            water=Range.exactly(4.0),
            cost=Cost(1.0, 1.0, 1.0, "EUR", electricity=Range.exactly(1.0)),
        ),
        materials=Range.exactly(5.0),
        primary_energy=Range.exactly(6.0),
    )
    whole = dataclasses.replace(one, children=(one, one)).with_children()
    assert whole.carbon == Carbon(3.0, 6.0, 9.0, operational_g=Range(3.0, 6.0, 9.0))
    assert whole.cost == Cost(3.0, 3.0, 3.0, "EUR", electricity=Range.exactly(3.0))
    assert whole.water == Range.exactly(12.0)
    assert whole.materials == Range.exactly(15.0)
    assert whole.primary_energy == Range.exactly(18.0)


# ---- estimates -------------------------------------------------------------------------------


@pytest.mark.parametrize("overlapping", [1, 4])
def test_an_estimate_is_close_to_what_is_settled(overlapping: int) -> None:
    """At steady power the provisional receipt is the settled one, before any window closes."""
    with by_hand(watts=300.0, idle_w=100.0) as rig:
        rig.ran(seconds=2.0)
        rig.receipts()
        running = [rig.tracker.request("m") for _ in range(overlapping)]
        for request in running:
            contextvars.Context().run(request.__enter__)
        rig.clock.advance(0.7)
        estimates = [request.estimate() for request in running]
        for request in running:
            request.__exit__(None, None, None)
        rig.receipts()
        for request, estimate in zip(running, estimates, strict=True):
            settled = request.receipt()
            assert "provisional" in estimate.flags
            assert "provisional" not in settled.flags
            assert estimate.duration_s == settled.duration_s
            for name in ("active_j", "idle_j", "total_j"):
                expected = float(getattr(settled.energy, name))
                assert float(getattr(estimate.energy, name)) == pytest.approx(expected, rel=0.01)


def test_an_estimate_of_what_is_settled_is_the_receipt() -> None:
    """Nothing provisional is left to say."""
    with by_hand(watts=300.0) as rig:
        request = rig.ran()
        rig.receipts()
        assert request.estimate() is request.receipt()


def test_an_estimate_knows_nothing_before_the_first_window() -> None:
    """Without a single window the power is not known, and the energy is None, not 0."""
    with by_hand(watts=300.0) as rig:
        estimate = rig.ran().estimate()
        assert estimate.energy.total_j is None
        assert estimate.provenance == "unknown"


def test_a_receipt_sums_devices_by_component() -> None:
    """Two GPUs are one component; the CPU is its own line; the total has all of them."""
    clock = FakeClock()
    cpu = FakeSource(clock, "cpu:0", "cpu", watts=20.0, idle_w=0.0, provenance="modelled")
    gpu = FakeSource(clock, "gpu:1", watts=50.0, idle_w=0.0, relative_error=0.1)
    with by_hand(watts=100.0, clock=clock, idle_w=0.0, sources=[cpu, gpu]) as rig:
        rig.ran(seconds=2.0)
        made = rig.one_receipt()
    by_component = made.energy.by_component
    assert set(by_component) == {"gpu", "cpu"}
    # 10 J anywhere: nine times in ten within 9 J.
    assert bounds(by_component["gpu"].total_j) == pytest.approx((291.0, 300.0, 309.0))
    assert bounds(by_component["cpu"].total_j) == pytest.approx((40.0, 40.0, 40.0))
    assert bounds(made.energy.total_j) == pytest.approx((331.0, 340.0, 349.0))
    assert by_component["cpu"].provenance == made.provenance == "modelled"
