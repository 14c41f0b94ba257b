"""Requests that something is expected of before they run: a quote, a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from inferprint.budget import Budget, Guard, OnExceed, check_budget
from inferprint.device_names import DeviceName, checked_names
from inferprint.errors import ConfigError
from inferprint.quote import Quote
from inferprint.records import Tokens
from inferprint.request import Request
from inferprint.tokens import checked

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.tracking import Planning


class Plan(TypedDict, total=False):
    """What may be told of a request before it runs.

    ``quote``: what it is expected to use. ``budget``: what it may use. ``on_exceed``: what is
    done when it is over its budget. ``input_tokens``, ``cached_input_tokens``, and
    ``output_tokens`` or ``max_output_tokens``: as for ``Tracker.quote``, which is asked with
    them if no quote is given. ``devices``: those that it runs on.
    """

    quote: Quote | None
    budget: Budget | None
    on_exceed: OnExceed
    input_tokens: int | None
    cached_input_tokens: int
    output_tokens: int | None
    max_output_tokens: int | None
    devices: Iterable[DeviceName] | None


class GuardedRequest(Request):
    """A request that has a budget.

    Args:
        tracker, model, labels: as for any request.
        guard: watches over its budget.
    """

    def __init__(
        self, tracker: Tracker, model: str, labels: Mapping[str, str], guard: Guard
    ) -> None:
        super().__init__(tracker, model, labels)
        self._guard = self._own_guard = guard

    def __enter__(self) -> Request:
        self._own_guard.before(self)
        return super().__enter__()

    async def __aenter__(self) -> Request:
        await self._own_guard.before_async(self)
        return await super().__aenter__()

    def add_tokens(
        self,
        *,
        input: int | None = None,  # noqa: A002 - the public name
        cached_input: int | None = None,
        output: int | None = None,
    ) -> None:
        """Tells of tokens as any request does, and checks the budget.

        Raises:
            BudgetExceeded: it is over its budget, and is to be stopped.
        """
        super().add_tokens(input=input, cached_input=cached_input, output=output)
        self._own_guard.during(self)

    def set_tokens(self, tokens: Tokens) -> None:
        """Sets the counts as for any request, and checks the budget.

        Raises:
            BudgetExceeded: it is over its budget, and is to be stopped.
        """
        super().set_tokens(tokens)
        self._own_guard.during(self)


def planned(tracker: Tracker, model: str, labels: Mapping[str, str], plan: Plan) -> Request:
    """A request of which something is expected.

    Raises:
        ConfigError: an argument of it is not usable.
        TypeError: there is no such argument.
    """
    for name in plan.keys() - Plan.__annotations__.keys():
        raise TypeError(f"request() got an unexpected keyword argument {name!r}")
    devices = plan.get("devices")
    names = None if devices is None else checked_names(devices)
    budget, on_exceed = plan.get("budget"), plan.get("on_exceed", "raise")
    check_budget(budget, on_exceed)
    quote = _quote(tracker, model, plan)
    if budget is None:
        request = Request(tracker, model, labels)
    else:
        guard = Guard(budget, on_exceed, quote, tracker.factors)
        request = GuardedRequest(tracker, model, labels, guard)
    request._devices = names
    request._quote = quote
    request._most = quote.max_output_tokens if quote is not None else None
    return request


def plan_call(
    tracker: Tracker,
    model: str,
    labels: Mapping[str, str],
    planning: Planning,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Request:
    """The request of a tracked call. Where what is expected of it can't be told, it runs all the
    same, and its budget is not checked before.
    """
    budget, on_exceed, devices = planning.budget, planning.on_exceed, planning.devices
    plan = Plan(budget=budget, on_exceed=on_exceed, devices=devices)
    if planning.expects is None:
        return planned(tracker, model, labels, plan)
    try:
        told: Any = dict(planning.expects(*args, **kwargs))
        return planned(tracker, model, labels, Plan(**{**told, **plan}))
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        tracker.fault("expects", error)
        return planned(tracker, model, labels, plan)


def _quote(tracker: Tracker, model: str, plan: Plan) -> Quote | None:
    quote, prompt = plan.get("quote"), plan.get("input_tokens")
    output, most = plan.get("output_tokens"), plan.get("max_output_tokens")
    if quote is not None:
        if not isinstance(quote, Quote):
            raise ConfigError("quote", quote, "what Tracker.quote returned")
        return quote
    if prompt is None:
        for name, value in (("output_tokens", output), ("max_output_tokens", most)):
            if value is not None:
                checked(name, value)
                raise ConfigError("input_tokens", None, f"a number of tokens, as {name} is given")
        return None
    return tracker.quote(
        model,
        prompt,
        output_tokens=output,
        max_output_tokens=most,
        cached_input_tokens=plan.get("cached_input_tokens", 0),
    )
