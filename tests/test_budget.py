"""Budgets: refused, warned of or asked about, before a request runs and while it streams."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Budget, BudgetExceeded, BudgetWarning, ConfigError, Excess, Request
from rig import Rig, awaited, by_hand
from served import IDLE_W, Served

SETTINGS = {"carbon_intensity_g_per_kwh": 360.0, "electricity_price": 0.36, "currency": "EUR"}
SMALL = Budget(energy_j=10.0)
LARGE = Budget(energy_j=1e9)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(idle_w=IDLE_W, idle_policy="in_flight", **SETTINGS) as made:
        yield made


@pytest.fixture
def served(rig: Rig) -> Served:
    """A server whose cost of work is known, alone."""
    made = Served(rig)
    made.warm_up()
    return made


def planned(rig: Rig, budget: Budget, **plan: Any) -> Request:
    """A request of 100 output tokens with a budget."""
    return rig.tracker.request(
        "m", budget=budget, **{"input_tokens": 0, "output_tokens": 100, **plan}
    )


def stream(rig: Rig, request: Request, windows: int = 50) -> None:
    """Tells two tokens a window, as long as it may."""
    for _ in range(windows):
        rig.source.set_power(400.0)
        rig.clock.advance(0.1)
        request.add_tokens(output=2)
        rig.tracker.sample()


# ---- what a budget is -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("budget", {}),
        ("energy_j", {"energy_j": 0}),
        ("energy_j", {"energy_j": -1.0}),
        ("carbon_g", {"carbon_g": float("nan")}),
        ("cost", {"cost": float("inf")}),
        ("cost", {"cost": "1"}),
        ("cost", {"cost": True}),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(field: str, parts: dict[str, Any]) -> None:
    """At least one part, each a finite number above 0."""
    with pytest.raises(ConfigError) as refused:
        Budget(**parts)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "plan"), [("budget", {"budget": 5}), ("on_exceed", {"on_exceed": "stop"})]
)
def test_a_plan_that_makes_no_sense_is_refused(rig: Rig, field: str, plan: Any) -> None:
    """By ``request`` and by ``track``, when they are called."""
    for make in (rig.tracker.request, rig.tracker.track):
        with pytest.raises(ConfigError) as refused:
            make(model="m", **plan)
        assert refused.value.field == field


# ---- before it runs ---------------------------------------------------------------------


def test_over_budget_it_does_not_run(rig: Rig, served: Served) -> None:
    """The error carries the quote, the budget, the part and by how much; nothing has started."""
    before = rig.tracker.status().in_flight
    with pytest.raises(BudgetExceeded) as raised, planned(rig, SMALL):
        pytest.fail("it must not run")
    error = raised.value
    assert error.quote is not None
    assert error.quote.energy.total_j is not None
    assert error.budget == SMALL
    assert error.estimate is None
    assert (error.excess.part, error.excess.when) == ("energy_j", "before")
    assert error.excess.expected == error.quote.energy.total_j.mid
    assert error.excess.by == error.excess.expected - 10.0
    assert "energy_j=10" in str(error)
    assert rig.tracker.status().in_flight == before


def test_the_error_can_be_pickled(rig: Rig, served: Served) -> None:
    """It crosses processes, with all that it carries."""
    with pytest.raises(BudgetExceeded) as raised, planned(rig, SMALL):
        pass
    again = pickle.loads(pickle.dumps(raised.value))
    assert again.excess == raised.value.excess
    assert str(again) == str(raised.value)


@pytest.mark.parametrize(
    ("budget", "part"),
    [
        (Budget(carbon_g=1e-6), "carbon_g"),
        (Budget(cost=1e-9), "cost"),
        (Budget(energy_j=1e9, carbon_g=1e-6), "carbon_g"),
        (Budget(energy_j=1.0, cost=1e3), "energy_j"),
    ],
)
def test_each_part_is_checked(rig: Rig, served: Served, budget: Budget, part: str) -> None:
    """Carbon and cost as they follow from the energy; the part that is used up first is named."""
    with pytest.raises(BudgetExceeded) as raised, planned(rig, budget):
        pass
    excess, quote = raised.value.excess, raised.value.quote
    assert quote is not None
    figures = {"energy_j": quote.energy.total_j, "carbon_g": quote.carbon, "cost": quote.cost}
    figure = figures[part]
    assert excess.part == part
    assert figure is not None
    assert excess.expected == pytest.approx(figure.mid)
    assert excess.limit == getattr(budget, part)


def test_within_its_budget_it_runs_and_says_nothing(rig: Rig, served: Served) -> None:
    """No flag, no warning, no question."""
    with planned(rig, LARGE, on_exceed=pytest.fail) as request:
        stream(rig, request)
    rig.receipts()
    assert request.receipt().flags.isdisjoint({"over_budget", "budget_unchecked"})


def test_an_unknown_quote_is_not_refused(rig: Rig) -> None:
    """Before anything is learned it runs, and its receipt says that nothing was checked."""
    with planned(rig, LARGE) as request:
        rig.clock.advance(1.0)
    rig.receipts()
    assert "budget_unchecked" in request.receipt().flags


def test_a_part_without_factors_is_not_checked(served: Served, rig: Rig) -> None:
    """A budget of carbon where the grid's intensity is not known is flagged, not guessed."""
    with by_hand(idle_w=IDLE_W, idle_policy="in_flight") as bare:
        other = Served(bare)
        other.warm_up()
        with planned(bare, Budget(carbon_g=1e-9)) as request:
            stream(bare, request)
        bare.receipts()
        assert "budget_unchecked" in request.receipt().flags


def test_a_warning_lets_it_run(rig: Rig, served: Served) -> None:
    """``warn`` warns once before the run and once while it runs, and the receipt is flagged."""
    with pytest.warns(BudgetWarning) as warned, planned(rig, SMALL, on_exceed="warn") as request:
        stream(rig, request)
    assert len(warned) == 2
    assert "expected to take" in str(warned[0].message)
    assert "has taken" in str(warned[1].message)
    rig.receipts()
    assert "over_budget" in request.receipt().flags


def test_a_person_can_be_asked(rig: Rig, served: Served) -> None:
    """A callable gets the excess; a yes lets it run, and it is asked at most once before and
    once while it runs.
    """
    asked: list[Excess] = []

    def yes(excess: Excess) -> bool:
        asked.append(excess)
        return True

    with planned(rig, SMALL, on_exceed=yes) as request:
        stream(rig, request)
    assert [excess.when for excess in asked] == ["before", "during"]
    assert asked[1].estimate is not None
    assert asked[1].estimate.energy.total_j is not None
    assert asked[1].expected > 10.0


def test_a_no_refuses_it(rig: Rig, served: Served) -> None:
    """False is an answer."""
    with pytest.raises(BudgetExceeded), planned(rig, SMALL, on_exceed=lambda _: False):
        pytest.fail("it must not run")


def test_what_the_user_raises_passes_through(rig: Rig, served: Served) -> None:
    """An exception of the function that is asked is the user's own."""

    def broken(_: Excess) -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), planned(rig, SMALL, on_exceed=broken):
        pass


# ---- while it runs ----------------------------------------------------------------------


def test_it_is_stopped_while_it_streams(rig: Rig, served: Served) -> None:
    """Quoted for one token and streaming on, it is stopped once the windows that have closed
    charged more than its budget; it is cancelled, and flagged.
    """
    budget = Budget(energy_j=150.0)
    request = planned(rig, budget, output_tokens=1)
    with pytest.raises(BudgetExceeded) as raised, request:
        stream(rig, request)
    assert raised.value.excess.when == "during"
    assert raised.value.estimate is not None
    rig.receipts()
    receipt = request.receipt()
    assert receipt.outcome == "cancelled"
    assert "over_budget" in receipt.flags
    assert receipt.energy.total_j is not None
    assert 150.0 < receipt.energy.total_j.mid < 250.0


def test_over_budget_only_at_the_end_is_flagged(rig: Rig, served: Served) -> None:
    """One that tells nothing while it runs can't be stopped; its receipt says that it was over."""
    with planned(rig, Budget(energy_j=150.0), output_tokens=1) as request:
        rig.source.set_power(400.0)
        rig.clock.advance(5.0)
    rig.receipts()
    assert "over_budget" in request.receipt().flags


def test_a_request_without_a_budget_is_a_plain_one(rig: Rig) -> None:
    """What has no budget carries none of its cost."""
    assert type(rig.tracker.request("m")) is Request
    assert type(rig.tracker.request("m", input_tokens=1, output_tokens=1)) is Request


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 500))
def test_it_is_over_exactly_when_more_was_spent(spent: list[float], limit: float) -> None:
    """Whatever it is charged window by window: it is stopped at the first sum over its budget,
    not before.
    """
    from inferprint.budget import Guard
    from inferprint.factors import Factors

    with by_hand() as rig:
        request = rig.tracker.request("m")
        guard = Guard(Budget(energy_j=limit), "raise", None, Factors())
        for joules in spent:
            guard.spent_j += joules
            if guard.spent_j > limit:
                with pytest.raises(BudgetExceeded):
                    guard.during(request)
            else:
                guard.during(request)


# ---- asynchronous -----------------------------------------------------------------------


async def ask_no(_: Excess) -> bool:
    return False


async def ask_yes(_: Excess) -> bool:
    return True


@pytest.mark.parametrize("ask", [ask_no, lambda excess: ask_no(excess)])
async def test_an_asynchronous_answer_is_awaited(rig: Rig, served: Served, ask: Any) -> None:
    """``async with`` awaits a coroutine before the run."""
    with pytest.raises(BudgetExceeded):
        async with planned(rig, SMALL, on_exceed=ask):
            pytest.fail("it must not run")


@pytest.mark.parametrize("ask", [ask_yes, lambda excess: ask_yes(excess)])
async def test_an_asynchronous_yes_holds_to_the_end(rig: Rig, served: Served, ask: Any) -> None:
    """While it streams nobody can be awaited: it runs on, and its receipt is flagged."""
    async with planned(rig, SMALL, on_exceed=ask) as request:
        stream(rig, request)
    rig.receipts()
    assert "over_budget" in request.receipt().flags


@pytest.mark.parametrize("ask", [ask_yes, lambda excess: ask_yes(excess)])
def test_a_plain_with_can_not_await(rig: Rig, served: Served, ask: Any) -> None:
    """A coroutine is not taken for a yes: the error says to use ``async with``."""
    with pytest.raises(ConfigError, match="async with"), planned(rig, SMALL, on_exceed=ask):
        pytest.fail("it must not run")


async def test_async_with_takes_a_plain_function_too(rig: Rig, served: Served) -> None:
    """What need not be awaited is not."""
    async with planned(rig, SMALL, on_exceed=lambda _: True) as request:
        pass
    assert request.outcome == "ok"


# ---- track ------------------------------------------------------------------------------


def expects(prompt: str) -> dict[str, int]:
    return {"input_tokens": len(prompt), "output_tokens": 100}


def kinds(rig: Rig, ran: list[str], **plan: Any) -> list[Callable[[], object]]:
    """One call of a function of each kind, decorated alike."""
    track = rig.tracker.track(model="m", expects=expects, **plan)

    @track
    def plain(prompt: str) -> None:
        ran.append(prompt)

    @track
    async def coroutine(prompt: str) -> None:
        ran.append(prompt)

    @track
    def generator(prompt: str) -> Iterator[str]:
        ran.append(prompt)
        yield prompt

    @track
    async def async_generator(prompt: str) -> AsyncIterator[str]:
        ran.append(prompt)
        yield prompt

    async def consume() -> None:
        async for _ in async_generator("hi"):
            pass

    return [
        lambda: plain("hi"),
        lambda: awaited(coroutine("hi")),
        lambda: list(generator("hi")),
        lambda: awaited(consume()),
    ]


def test_tracked_calls_are_refused(rig: Rig, served: Served) -> None:
    """Functions of every kind: none of them runs, and the caller gets BudgetExceeded."""
    ran: list[str] = []
    for call in kinds(rig, ran, budget=SMALL):
        with pytest.raises(BudgetExceeded) as raised:
            call()
        assert raised.value.quote is not None
        assert raised.value.quote.output_tokens == 100
    assert ran == []


def test_tracked_calls_within_their_budget_run(rig: Rig, served: Served) -> None:
    """They are quoted, and their receipts hold the quote."""
    ran: list[str] = []
    for call in kinds(rig, ran, budget=LARGE):
        call()
    assert ran == ["hi"] * 4
    quotes = [receipt.quote for receipt in rig.receipts()[-4:]]
    assert [quote and quote.input_tokens for quote in quotes] == [2] * 4


def test_a_tracked_stream_is_stopped_and_cleaned_up(rig: Rig, served: Served) -> None:
    """Its body sees BudgetExceeded where it yields, so that it can clean up, and the caller
    gets it; the tokens told up to then are on the receipt.
    """
    seen: list[str] = []

    @rig.tracker.track(model="m", tokens=lambda item: item, budget=Budget(energy_j=150.0))
    def endless() -> Iterator[int]:
        try:
            while True:
                rig.source.set_power(400.0)
                rig.clock.advance(0.1)
                rig.tracker.sample()
                yield 2
        except BudgetExceeded:
            seen.append("stopped")
            raise
        finally:
            seen.append("cleaned up")

    with pytest.raises(BudgetExceeded):
        list(endless())
    assert seen == ["stopped", "cleaned up"]
    receipt = rig.receipts()[-1]
    assert receipt.outcome == "cancelled"
    assert receipt.tokens.output is not None
    assert "tokens_unreadable" not in receipt.flags


async def test_an_asynchronous_stream_is_stopped_too(rig: Rig, served: Served) -> None:
    """As a plain one."""
    seen: list[str] = []

    @rig.tracker.track(model="m", budget=Budget(energy_j=150.0))
    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                rig.source.set_power(400.0)
                rig.clock.advance(0.1)
                rig.tracker.sample()
                yield 2
        finally:
            seen.append("cleaned up")

    with pytest.raises(BudgetExceeded):
        async for _ in endless():
            pass
    assert seen == ["cleaned up"]


@pytest.mark.parametrize(
    "broken", [lambda _: 1 / 0, lambda _: {"input_tokens": -5}, lambda _: {"words": 3}]
)
def test_expects_that_fails_lets_the_call_run(rig: Rig, served: Served, broken: Any) -> None:
    """The fault is counted, and the receipt says that its budget was not checked."""

    @rig.tracker.track(model="m", budget=SMALL, expects=broken)
    def generate(prompt: str) -> str:
        return prompt

    assert generate("hi") == "hi"
    receipt = rig.receipts()[-1]
    assert "budget_unchecked" in receipt.flags
    assert any(source == "expects" for source, _ in rig.tracker.status().source_errors)


def test_the_text_of_an_excess_is_one_line(rig: Rig, served: Served) -> None:
    """A model's name with line breaks can't forge lines of a log; money has its currency."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with planned(rig, Budget(cost=1e-9), on_exceed="warn"):
            pass
    (text,) = [str(warning.message) for warning in caught]
    assert "EUR" in text
    assert "\n" not in text
