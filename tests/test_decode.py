"""Footprints in replies, ours and others', read as receipts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from inferprint.decode import footprint_in, footprint_in_stream
from inferprint.wire import footprint_of
from receipts import component, receipt

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_our_own_footprint_comes_back_as_it_was() -> None:
    """What goes over the wire is on the receipt again, its parts, its method and what it is."""
    sent = receipt(parts={"gpu": component(active_j=5.0, idle_j=1.0)})
    reply = {"model": "m", "usage": {**USAGE, "footprint": footprint_of(sent)}}
    for form in (reply, json.dumps(reply), json.dumps(reply).encode()):
        got = footprint_in(form)
        assert got is not None
        assert got.request_id == sent.request_id
        assert got.energy.total_j == sent.energy.total_j
        assert got.energy.active_j == sent.energy.active_j
        assert (got.provenance, got.attribution_method) == (
            sent.provenance,
            sent.attribution_method,
        )
        assert (got.tokens.input, got.tokens.output) == (3, 2)
        assert "hosted" in got.flags
        assert footprint_of(got) | {"is_estimated": False} == footprint_of(sent) | {
            "is_estimated": False
        }


def test_what_was_unknown_stays_unknown() -> None:
    """Null is None, never 0."""
    told = dict.fromkeys(footprint_of(receipt()), None)
    got = footprint_in({"usage": {"footprint": told | {"provenance": "unknown"}}})
    assert got is not None
    assert got.energy.total_j is got.carbon is got.water is got.cost is None


NEURALWATT = {
    "energy_joules": 7.2,
    "energy_kwh": 2e-06,
    "avg_power_watts": 300.0,
    "duration_seconds": 0.5,
    "attribution_method": "proportional",
    "attribution_ratio": 0.25,
}
GREENPT = {
    "version": "20250922",
    "inferenceTime": {"total": 156, "unit": "ms"},
    "energy": {"total": 7200, "unit": "Wms"},
    "emissions": {"total": 500, "unit": "ugCO2e"},
}
OPENGATELLM = {"kWh": {"min": 1e-06, "max": 3e-06}, "kgCO2eq": {"min": 4e-07, "max": 6e-07}}


@pytest.mark.parametrize(
    ("reply", "method", "grams", "duration_s"),
    [
        ({"energy": NEURALWATT}, "proportional", None, 0.5),
        ({"impact": GREENPT}, "greenpt", 5e-4, 0.156),
        ({"usage": {**USAGE, "carbon": OPENGATELLM}}, "opengatellm", 5e-4, None),
    ],
)
def test_the_shapes_of_others_are_read(
    reply: dict[str, Any], method: str, grams: float | None, duration_s: float | None
) -> None:
    """All of them tell 7.2 J, each in its own unit; what they do not tell is None."""
    for form in (reply, SimpleNamespace(model_dump=lambda: reply)):
        got = footprint_in(form)
        assert got is not None
        assert got.energy.total_j is not None
        assert got.energy.total_j.mid == pytest.approx(7.2)
        assert got.energy.active_j is got.energy.idle_j is None
        assert (got.attribution_method, got.provenance) == (method, "unknown")
        assert (got.carbon and got.carbon.mid) == (grams and pytest.approx(grams))
        assert got.duration_s == duration_s
        assert got.started_at is None
        assert "1970" not in str(got)


def test_a_range_that_is_told_is_kept() -> None:
    """OpenGateLLM tells the ends."""
    got = footprint_in({"usage": {"carbon": OPENGATELLM}})
    assert got is not None
    assert got.energy.total_j is not None
    assert (got.energy.total_j.low, got.energy.total_j.high) == pytest.approx((3.6, 10.8))


@pytest.mark.parametrize(
    "reply",
    [None, 3, "", "{", b"\xff", [], {}, {"usage": None}, {"usage": 3}, {"usage": USAGE},
     {"energy": "much"}, {"impact": []}, SimpleNamespace()],
)  # fmt: skip
def test_a_reply_without_a_footprint_has_none(reply: Any) -> None:
    """Whatever it is."""
    assert footprint_in(reply) is None


@pytest.mark.parametrize(
    ("created", "year"), [(1_772_366_400, 2026), (1e30, None), (-1e30, None), (None, None)]
)
def test_a_time_that_is_none_is_unknown(created: Any, year: int | None) -> None:
    """Nor does one that no calendar has raise."""
    got = footprint_in({"created": created, "energy": NEURALWATT})
    assert got is not None
    assert (got.started_at and got.started_at.year) == year


@pytest.mark.parametrize("value", [True, "7", float("nan"), float("inf"), {}, None])
def test_a_figure_that_is_none_is_unknown(value: Any) -> None:
    """It is not taken for a number."""
    got = footprint_in({"energy": {"energy_joules": value}})
    assert got is not None
    assert got.energy.total_j is None


def test_a_unit_that_is_not_known_makes_no_figure() -> None:
    """A number alone says nothing."""
    got = footprint_in({"impact": {"energy": {"total": 1, "unit": "furlongs"}}})
    assert got is not None
    assert got.energy.total_j is None


def test_streams_are_read_line_by_line() -> None:
    """A chunk tells more than a comment, and a comment is enough."""
    comment = ': energy {"energy_joules": 2.5, "attribution_method": "a"}'
    chunk = {"choices": [], "usage": {"footprint": {"energy_joules": 2.5, "active_joules": 1.0}}}
    lines = ['data: {"choices": []}', "", comment, "data: [DONE]"]
    got = footprint_in_stream(lines)
    assert got is not None
    assert got.attribution_method == "a"
    got = footprint_in_stream([f"data: {json.dumps(chunk)}".encode(), *lines])
    assert got is not None
    assert got.energy.active_j is not None
    assert footprint_in_stream(["data: x", ": energy x"]) is None
