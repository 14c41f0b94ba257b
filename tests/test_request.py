"""A request by hand: start, tokens, end, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inferprint
from inferprint import InferprintError, NotSettled, TokenError, Tokens, current
from rig import Rig, awaited, by_hand

Run = Callable[[Rig, BaseException | None], None]

NOT_TOKENS = [-1, 1.0, 1.5, float("nan"), True, False, "3", None, [1], {}, 1j]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0, idle_w=0.0) as rig:
        yield rig


def with_block(rig: Rig, error: BaseException | None) -> None:
    with rig.tracker.request("m"):
        rig.clock.advance(1.0)
        if error is not None:
            raise error


def async_with_block(rig: Rig, error: BaseException | None) -> None:
    async def generate() -> None:
        async with rig.tracker.request("m"):
            await asyncio.sleep(0)
            rig.clock.advance(1.0)
            if error is not None:
                raise error

    awaited(generate())


both_blocks = pytest.mark.parametrize("run", [with_block, async_with_block])


@both_blocks
def test_a_block_is_a_request(rig: Rig, run: Run) -> None:
    """It lasts from the block's start to its end, and is current only there."""
    run(rig, None)
    receipt = rig.one_receipt()
    assert (receipt.outcome, receipt.duration_s) == ("ok", 1.0)
    assert current() is None


@both_blocks
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("the user's own"), "error"),
        (KeyboardInterrupt(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
    ids=repr,
)
def test_an_exception_leaves_the_block_unchanged(
    rig: Rig, run: Run, error: BaseException, outcome: str
) -> None:
    """The exception goes on as it is, and the receipt has its outcome."""
    with pytest.raises(type(error)) as caught:
        run(rig, error)
    assert caught.value is error
    assert rig.one_receipt().outcome == outcome
    assert current() is None


def test_blocks_nest(rig: Rig) -> None:
    """The inner request is current inside it, and the outer one again after it."""
    with rig.tracker.request("outer") as outer:
        with rig.tracker.request("inner") as inner:
            assert current() is inner
        assert current() is outer
    assert current() is None


def test_a_request_is_entered_once(rig: Rig) -> None:
    """Entered again, running or ended, it says to make another one, and goes on unharmed."""
    request = rig.tracker.request("m")
    with request:
        rig.clock.advance(1.0)
        with pytest.raises(InferprintError, match="make another"), request:
            pass
        rig.clock.advance(1.0)
    with pytest.raises(InferprintError, match="make another"), request:
        pass
    assert rig.one_receipt().duration_s == 2.0


def test_ids_are_unique(rig: Rig) -> None:
    """No two requests share an id, and a request's id does not change."""
    requests = [rig.ran() for _ in range(100)]
    ids = [request.request_id for request in requests]
    assert len(set(ids)) == 100
    assert [request.request_id for request in requests] == ids
    assert [receipt.request_id for receipt in rig.receipts()] == ids


def test_what_it_was_told_can_be_read_back(rig: Rig) -> None:
    """Model, labels, tokens and outcome are as given, while it runs and after."""
    with rig.tracker.request("m", labels={"route": "/chat"}) as request:
        assert (request.model, request.labels, request.outcome) == ("m", {"route": "/chat"}, None)
        assert request.tokens == Tokens()
        request.add_tokens(input=8)
        assert request.tokens == Tokens(8, None, None)
    assert request.outcome == "ok"


def test_labels_are_the_receipts_own(rig: Rig) -> None:
    """Labels that are changed later do not change a receipt, and are texts there."""
    labels: dict[str, Any] = {"user": 7}
    with rig.tracker.request("m", labels=labels):
        rig.clock.advance(1.0)
    receipt = rig.one_receipt()
    labels["user"] = 8
    assert receipt.labels == {"user": "7"}


@pytest.mark.parametrize("labels", ["route", 5, [("route", "/chat")], None])
def test_labels_that_are_no_mapping_are_refused(rig: Rig, labels: Any) -> None:
    """It is said where they are given, and names what would be right."""
    with pytest.raises(inferprint.ConfigError, match=r"labels=.*expected a mapping"):
        rig.tracker.request("m", labels=labels)
    with pytest.raises(inferprint.ConfigError, match=r"labels=.*expected a mapping"):
        rig.tracker.track(labels=labels)


# ---- tokens ----------------------------------------------------------------------------------

counts = st.none() | st.integers(0, 10**6)


@given(told=st.lists(st.tuples(counts, counts, counts), max_size=10))
def test_tokens_add_up(told: list[tuple[int | None, int | None, int | None]]) -> None:
    """Counts are sums of what was told; what was never told is None and not 0."""
    with by_hand() as rig, rig.tracker.request("m") as request:
        for input_, cached_input, output in told:
            request.add_tokens(input=input_, cached_input=cached_input, output=output)
    for name, column in zip(("input", "cached_input", "output"), range(3), strict=True):
        known = [count for counts in told if (count := counts[column]) is not None]
        assert getattr(request.tokens, name) == (sum(known) if known else None)


@pytest.mark.parametrize("name", ["input", "cached_input", "output"])
@pytest.mark.parametrize("count", [count for count in NOT_TOKENS if count is not None], ids=repr)
def test_what_is_no_count_is_refused(rig: Rig, name: str, count: Any) -> None:
    """The error names the field and what was given, and nothing of the call is counted."""
    with rig.tracker.request("m") as request:
        good = dict.fromkeys(("input", "cached_input", "output"), 1)
        request.add_tokens(**good)
        with pytest.raises(TokenError) as caught:
            request.add_tokens(**{**good, name: count})
        assert request.tokens == Tokens(1, 1, 1)
    assert caught.value.field == name
    assert caught.value.given is count
    assert "whole number of tokens" in str(caught.value)


@pytest.mark.parametrize("count", NOT_TOKENS[:5], ids=repr)
def test_totals_are_checked_too(rig: Rig, count: Any) -> None:
    """``set_tokens`` refuses what ``add_tokens`` refuses."""
    with rig.tracker.request("m") as request, pytest.raises(TokenError, match="output="):
        request.set_tokens(Tokens(1, None, count))
    assert request.tokens == Tokens()


def test_the_first_output_token_sets_its_time(rig: Rig) -> None:
    """The time to first token is that of the first output told, while the request runs."""
    request = rig.tracker.request("m")
    request.add_tokens(output=1)
    with request:
        rig.clock.advance(1.0)
        request.add_tokens(input=8, output=0)
        assert request.time_to_first_token_s is None
        rig.clock.advance(1.0)
        request.add_tokens(output=1)
        rig.clock.advance(1.0)
        request.add_tokens(output=1)
    assert request.time_to_first_token_s == 2.0
    assert rig.one_receipt().time_to_first_token_s == 2.0


def test_tokens_told_after_the_end_count_until_the_receipt_is_made(rig: Rig) -> None:
    """A usage that comes late is counted, says nothing of the first token, and no receipt
    changes once it was made.
    """
    request = rig.ran()
    rig.clock.advance(5.0)
    request.add_tokens(input=3, output=4)
    assert request.time_to_first_token_s is None
    receipt = rig.one_receipt()
    assert receipt.tokens == Tokens(3, None, 4)
    request.add_tokens(output=1)
    assert request.receipt() is receipt
    assert receipt.tokens == Tokens(3, None, 4)


# ---- receipts --------------------------------------------------------------------------------


def test_a_request_that_runs_has_no_receipt_yet(rig: Rig) -> None:
    """Asking for it says that the request has not ended; an estimate is there at once."""
    with rig.tracker.request("m") as request:
        rig.clock.advance(1.0)
        with pytest.raises(NotSettled, match="has not ended"):
            request.receipt()
        assert request.estimate().outcome is None
    with pytest.raises(NotSettled, match=r"call sample\(\)"):
        request.receipt()
    rig.receipts()
    assert request.receipt().outcome == "ok"


def test_a_request_that_was_never_entered_can_be_estimated(rig: Rig) -> None:
    """Nothing ran, so nothing is known: no energy, rather than 0 J."""
    receipt = rig.tracker.request("m").estimate()
    assert receipt.energy.total_j is None
    assert receipt.duration_s == 0.0
