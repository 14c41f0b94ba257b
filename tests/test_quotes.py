"""Quotes: what is known when, what they are made of, and what receipts say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import ConfigError, Quote, TokenError
from inferprint.learning.record import KNOWN, Ratios
from inferprint.ranges import Range
from rig import Rig, by_hand
from served import FIXED_W, IDLE_W, TOKEN_J, Served

SETTINGS = {"carbon_intensity_g_per_kwh": 360.0, "electricity_price": 0.36, "currency": "EUR"}


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(idle_w=IDLE_W, idle_policy="in_flight", **SETTINGS) as made:
        yield made


@pytest.fixture
def served(rig: Rig) -> Served:
    """A server whose cost of work is known to its tracker, with nothing in flight for long."""
    made = Served(rig)
    made.warm_up()
    made.run(12_000)
    return made


def total(quote: Quote) -> Range:
    """Its energy, which is known."""
    assert quote.energy.total_j is not None
    return quote.energy.total_j


def test_nothing_is_quoted_before_anything_is_learned(rig: Rig) -> None:
    """Unknown, never 0: the figures are None, and the quote says why."""
    quote = rig.tracker.quote("m", 800, output_tokens=300)
    assert quote.energy.total_j is None
    assert quote.energy.by_component == {}
    assert (quote.duration_s, quote.carbon, quote.cost) == (None, None, None)
    assert quote.provenance == "unknown"
    assert "'m'" in quote.reason
    assert "energy unknown" in str(quote)


def test_a_model_never_seen_is_not_quoted(rig: Rig, served: Served) -> None:
    """What one model costs says nothing of another."""
    quote = rig.tracker.quote("another", 800, output_tokens=300)
    assert quote.energy.total_j is None
    assert quote.reason == "no request of model 'another' has told of its tokens yet"


def test_a_quote_is_itemised_and_adds_up(rig: Rig, served: Served) -> None:
    """Its parts sum to its total, by component too; carbon and cost follow from it; the
    provenance is modelled.
    """
    quote = rig.tracker.quote("m", 0, output_tokens=200)
    energy = quote.energy
    parts = [energy.active_j, energy.idle_j, energy.standing_j]
    assert sum(part.mid for part in parts if part) == pytest.approx(total(quote).mid)
    assert energy.by_component["gpu"].total_j == energy.total_j
    assert quote.provenance == "modelled"
    assert quote.reason == ""
    assert quote.carbon is not None
    assert quote.cost is not None
    assert quote.carbon.mid == pytest.approx(total(quote).mid / 3.6e6 * 360.0)
    assert quote.cost.mid == pytest.approx(total(quote).mid / 3.6e6 * 0.36)
    assert quote.cost.currency == "EUR"


def test_it_quotes_what_a_request_alone_takes(rig: Rig, served: Served) -> None:
    """200 tokens at 20 a second, alone: ten seconds of fixed and idle power and the tokens' own
    work, within 5 %; and the time within 5 %.
    """
    quote = rig.tracker.quote("m", 0, output_tokens=200)
    assert total(quote).mid == pytest.approx(10 * (FIXED_W + IDLE_W) + 200 * TOKEN_J, rel=0.05)
    assert quote.duration_s is not None
    assert quote.duration_s.mid == pytest.approx(10.0, rel=0.05)


def test_company_makes_it_cheaper(rig: Rig, served: Served) -> None:
    """What anyone running costs is shared: with six others in flight, as many as usual, a quote
    is a fraction of that alone, and within 7 % of what the request then uses.
    """
    alone_j = total(rig.tracker.quote("m", 0, output_tokens=200)).mid
    served.to(7)
    for _ in range(500):
        served.start()
        served.end()
        served.run(10)
    served.end()
    quote = rig.tracker.quote("m", 0, output_tokens=200)
    assert quote.in_flight == 6
    assert total(quote).mid < alone_j / 3
    request = served.start()
    served.run(100)
    served.end(request)
    served.run(1)
    used = request.receipt().energy.total_j
    assert total(quote).mid == pytest.approx(float(used or 0), rel=0.07)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000), st.integers(1, 5_000))
def test_more_tokens_are_never_cheaper(
    known: Served, prompt: int, cached: int, output: int, more: int
) -> None:
    """A range is in order and not negative; more output costs and lasts more; what is cached
    costs nothing; a maximum below the usual length is what is expected.
    """
    tracker, cached = known.rig.tracker, min(prompt, cached)
    one = tracker.quote("m", prompt, output_tokens=output, cached_input_tokens=cached)
    longer = tracker.quote("m", prompt, output_tokens=output + more, cached_input_tokens=cached)
    uncached = tracker.quote("m", prompt - cached, output_tokens=output)
    assert 0 <= total(one).low <= total(one).mid <= total(one).high
    assert total(one).mid < total(longer).mid
    assert one.duration_s is not None
    assert longer.duration_s is not None
    assert one.duration_s.mid < longer.duration_s.mid
    assert total(one) == total(uncached)
    bounded = tracker.quote("m", prompt, max_output_tokens=more)
    assert bounded.output_tokens is not None
    assert bounded.output_tokens <= more
    exact = tracker.quote("m", prompt, output_tokens=more)
    assert total(bounded).low <= total(bounded).mid <= total(bounded).high
    assert total(bounded).high <= total(exact).high * (1 + 1e-9)


@pytest.fixture(scope="module")
def known() -> Iterator[Served]:
    """A server whose cost of work is known, for many quotes."""
    with by_hand(idle_w=IDLE_W, idle_policy="in_flight") as rig:
        served = Served(rig)
        served.warm_up()
        yield served


def test_the_usual_length_is_learned(rig: Rig) -> None:
    """With a maximum alone, the median of the lengths that came is expected; where requests
    tell their maximum and always use the same part of it, that part.
    """
    served = Served(rig)
    served.warm_up()
    for _ in range(60):
        request = served.start(rate=3)
        served.run(10)
        served.end(request)
    rig.receipts()
    quote = rig.tracker.quote("m", 0, max_output_tokens=1_000)
    assert quote.output_tokens == pytest.approx(30, rel=0.01)
    assert quote.max_output_tokens == 1_000
    for turn in range(150):
        length = 1 + turn % 4
        request = rig.tracker.request("m", input_tokens=0, max_output_tokens=30 * length)
        with request:
            served.running[request] = 3
            served.run(5 * length)
            del served.running[request]
    rig.receipts()
    quote = rig.tracker.quote("m", 0, max_output_tokens=1_000)
    assert quote.output_tokens == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        ("output_tokens", {}),
        ("output_tokens", {"output_tokens": 1, "max_output_tokens": 1}),
        ("output_tokens", {"output_tokens": -1}),
        ("max_output_tokens", {"max_output_tokens": 1.5}),
        ("cached_input_tokens", {"output_tokens": 1, "cached_input_tokens": 11}),
        ("cached_input_tokens", {"output_tokens": 1, "cached_input_tokens": True}),
    ],
)
def test_counts_that_make_no_sense_are_refused(
    rig: Rig, field: str, counts: dict[str, int]
) -> None:
    """Exactly one output count; whole numbers of 0 or more; no more cached than there is."""
    with pytest.raises(ConfigError) as refused:
        rig.tracker.quote("m", 10, **counts)
    assert refused.value.field == field
    with pytest.raises(TokenError):
        rig.tracker.quote("m", -1, output_tokens=1)


def test_the_receipt_holds_its_quotes_error(rig: Rig, served: Served) -> None:
    """A quoted request's receipt has the quote, and what it used over the quote's middle; it
    goes into its dict and its JSON.
    """
    quote = rig.tracker.quote("m", 0, output_tokens=100)
    with rig.tracker.request("m", quote=quote) as request:
        served.running[request] = 2
        served.run(50)
        del served.running[request]
    (receipt,) = rig.receipts()[-1:]
    assert receipt.quote is quote
    assert receipt.energy.total_j is not None
    assert receipt.quote_error_ratio == receipt.energy.total_j.mid / total(quote).mid
    assert receipt.quote_error_ratio == pytest.approx(1.0, rel=0.1)
    plain = json.loads(receipt.to_json())
    assert plain["quote_error_ratio"] == receipt.quote_error_ratio
    assert plain["quote"]["energy"]["total_j"]["mid"] == total(quote).mid
    assert plain["quote"] == json.loads(quote.to_json())


def test_a_request_of_known_tokens_is_quoted_by_itself(rig: Rig, served: Served) -> None:
    """Tokens told before the run make a quote; without them there is none, and no error."""
    with rig.tracker.request("m", input_tokens=0, output_tokens=100) as told:
        served.run(1)
    with rig.tracker.request("m") as untold:
        served.run(1)
    rig.receipts()
    assert told.receipt().quote is not None
    assert untold.receipt().quote is None
    assert untold.receipt().quote_error_ratio is None


def test_an_estimate_has_no_error_yet(rig: Rig, served: Served) -> None:
    """What has not ended can't be compared with what was quoted for all of it."""
    with rig.tracker.request("m", input_tokens=0, output_tokens=100) as request:
        served.run(5)
        assert request.estimate().quote is not None
        assert request.estimate().quote_error_ratio is None


def test_what_was_not_read_is_not_held_against_quotes(rig: Rig, served: Served) -> None:
    """A counter that is reset loses energy of the requests of that window: they are no sign that
    quotes are too high.
    """
    before = total(rig.tracker.quote("m", 0, output_tokens=50))
    for _ in range(100):
        served.start()
        served.run(10)
        rig.source.reset()
        served.run(15)
        served.end()
        served.run(1)
    served.run(3_000)
    rig.receipts()
    after = total(rig.tracker.quote("m", 0, output_tokens=50))
    assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=0.02)


def test_an_unknown_quote_has_no_error(rig: Rig) -> None:
    """What was not known before can't have been off."""
    with rig.tracker.request("m", input_tokens=0, output_tokens=100) as request:
        rig.clock.advance(1.0)
    rig.receipts()
    assert request.receipt().quote is not None
    assert request.receipt().quote_error_ratio is None


def test_a_misspelt_argument_is_refused(rig: Rig) -> None:
    """As Python does for any function."""
    with pytest.raises(TypeError, match="ouput_tokens"):
        rig.tracker.request("m", **{"ouput_tokens": 5})


@pytest.mark.parametrize(
    "plan", [{"quote": 3.0}, {"output_tokens": 5}, {"max_output_tokens": 5}, {"input_tokens": 5}]
)
def test_half_a_plan_is_refused(rig: Rig, plan: dict[str, int]) -> None:
    """A quote that is none, and counts that do not suffice for one, are told at once."""
    with pytest.raises(ConfigError):
        rig.tracker.request("m", **plan)


def test_without_own_work_told_apart_equal_shares_are_quoted(rig: Rig) -> None:
    """A server that always runs one request can't tell its own work from what anyone costs: its
    receipts are by time, and so are quotes.
    """
    served = Served(rig)
    for _ in range(40):
        request = served.start()
        served.run(10)
        served.end()
    rig.receipts()
    assert request.receipt().attribution_method == "time_in_flight"
    quote = rig.tracker.quote("m", 0, output_tokens=20)
    assert total(quote).mid == pytest.approx(float(request.receipt().energy.total_j or 0), rel=0.05)


@pytest.mark.parametrize("policy", ["amortised", "since_last", "in_flight", "separate"])
def test_standing_energy_is_quoted_as_the_policy_charges_it(policy: str) -> None:
    """What a quote says of the waiting before it is what the next request is charged."""
    with by_hand(idle_w=IDLE_W, idle_policy=policy) as rig:
        served = Served(rig)
        served.warm_up()
        served.run(100)
        quote = rig.tracker.quote("m", 0, output_tokens=20)
        request = served.start()
        served.run(10)
        served.end()
        rig.receipts()
        charged = request.receipt().energy.standing_j
        assert quote.energy.standing_j is not None
        assert charged is not None
        # The quote's middle is that of its total, which the record may shift a little.
        assert quote.energy.standing_j.mid == pytest.approx(charged.mid, rel=0.1)
        assert quote.idle_policy == policy


def test_a_record_that_is_off_shifts_the_quote() -> None:
    """Where requests lastingly use more than their raw quote, the interval and the middle follow
    what they did use: board and model can be off in ways that no law of power knows.
    """
    ratios = Ratios(KNOWN)
    before = ratios.spread
    assert before.low < 0.7 < 1.0 == before.mid < 1.4 < before.high
    for i in range(500):
        ratios.add(130 + i % 7, 100)
    assert 1.2 < ratios.spread.low < ratios.spread.mid < ratios.spread.high < 1.4
