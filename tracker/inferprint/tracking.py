"""The decorator: makes a request of every call of a function, of whichever kind it is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

from inferprint.budget import check_budget
from inferprint.records import Outcome
from inferprint.request import Request, as_current, outcome_of, own_labels
from inferprint.tokens import read_tokens

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.budget import Budget, OnExceed

P = ParamSpec("P")
R = TypeVar("R")

ReadTokens = Callable[[Any], Any]
Expects = Callable[..., Mapping[str, Any]]
Open = Callable[[tuple[Any, ...], Mapping[str, Any]], Request]


class Planning(NamedTuple):
    """What is expected of every call, as for ``inferprint.track``."""

    budget: Budget | None = None
    on_exceed: OnExceed = "raise"
    expects: Expects | None = None
    devices: tuple[str, ...] | None = None

    def check(self) -> None:
        """Refuses a budget that is none.

        Raises:
            ConfigError: it is no Budget, or nothing that can be done when it is exceeded.
        """
        check_budget(self.budget, self.on_exceed)


NO_PLANNING = Planning()


def named(devices: Iterable[object] | None) -> tuple[str, ...] | None:
    """Names of devices, as every call has them.

    Raises:
        ConfigError: they are no list.
    """
    if devices is None:
        return None
    from inferprint.device_names import checked_names

    return checked_names(devices)


def decorator(
    tracker: Callable[[], Tracker],
    model: str | None,
    tokens: ReadTokens | None,
    labels: Mapping[str, str],
    planning: Planning = NO_PLANNING,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that makes a request of every call.

    Args:
        tracker: gives the tracker, at every call.
        model: the model's name; None: the function's.
        tokens: as for ``tracked``.
        labels: of every request.
        planning: what is expected of every request.

    Raises:
        ConfigError: the labels are no mapping, or what is expected is not usable.
    """
    labels = own_labels(labels)
    planning.check()

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, staticmethod | classmethod):
            kind: Any = type(function)
            return cast(Callable[P, R], kind(decorate(cast(Any, function.__func__))))
        own = getattr(function, "__qualname__", type(function).__qualname__)
        name = str(model if model is not None else own)
        return tracked(function, _opener(tracker, name, labels, planning), tokens)

    return decorate


def _opener(
    tracker: Callable[[], Tracker], name: str, labels: Mapping[str, str], planning: Planning
) -> Open:
    if planning == NO_PLANNING:
        return lambda args, kwargs: Request(tracker(), name, labels)
    from inferprint.planned import plan_call  # not of all users

    return lambda args, kwargs: plan_call(tracker(), name, labels, planning, args, kwargs)


def tracked(
    function: Callable[P, R], open_request: Open, tokens: ReadTokens | None
) -> Callable[P, R]:
    """The function, with a request around every call of it.

    Args:
        function: a def, async def, generator or async generator function, or an object that
            is called like one.
        open_request: makes the request of a call.
        tokens: told of the result, or of every item of a stream; returns what
            ``tokens.read_tokens`` understands. Where it fails, the request does not.
    """
    body = _body(function)
    if inspect.isasyncgenfunction(body):
        wrapper: Any = _async_generator(function, open_request, tokens)
    elif inspect.isgeneratorfunction(body):
        wrapper = _generator(function, open_request, tokens)
    elif inspect.iscoroutinefunction(body):
        wrapper = _coroutine(function, open_request, tokens)
    else:
        wrapper = _function(function, open_request, tokens)
    return cast(Callable[P, R], functools.wraps(function)(wrapper))


def _body(function: Any) -> Any:
    """What runs when it is called: its kind is the function's."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return function
    return type(function).__call__


def _function(function: Callable[..., Any], open_request: Open, tokens: ReadTokens | None) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        request = open_request(args, kwargs)
        if request._guard is not None:
            request._guard.before(request)
        # A function runs in its thread from start to end, in an event loop too.
        request._begin(owns_thread=True)
        try:
            result = function(*args, **kwargs)
            if tokens is not None:
                tell_tokens(request, tokens, result)
        except BaseException as error:
            request._end(outcome_of(error))
            raise
        request._end("ok")
        return result

    return wrapper


def _coroutine(function: Callable[..., Any], open_request: Open, tokens: ReadTokens | None) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        request = open_request(args, kwargs)
        if request._guard is not None:
            await request._guard.before_async(request)
        request._begin(owns_thread=False)
        try:
            result = await function(*args, **kwargs)
            if tokens is not None:
                tell_tokens(request, tokens, result)
        except BaseException as error:
            request._end(outcome_of(error))
            raise
        request._end("ok")
        return result

    return wrapper


def _generator(function: Callable[..., Any], open_request: Open, tokens: ReadTokens | None) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        stream = function(*args, **kwargs)
        request = open_request(args, kwargs)
        if request._guard is not None:
            request._guard.before(request)
        request._begin(owns_thread=False, detached=True)
        outcome: Outcome = "cancelled"
        closing = False
        step: Callable[[], Any] = functools.partial(next, stream)
        try:
            while True:
                # The body runs as this request, and the code that iterates over it does not.
                with as_current(request):
                    item = step()
                try:
                    tell_item(request, tokens, item)
                    sent = yield item
                except BaseException as error:  # noqa: BLE001 - the body decides what of it
                    closing = isinstance(error, GeneratorExit)
                    step = functools.partial(stream.throw, error)
                else:
                    step = functools.partial(stream.send, sent)
        except StopIteration as end:
            outcome = "cancelled" if closing else "ok"
            return end.value
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            request._end(outcome)

    return wrapper


def _async_generator(
    function: Callable[..., Any], open_request: Open, tokens: ReadTokens | None
) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        stream = function(*args, **kwargs)
        request = await _admitted(open_request(args, kwargs))
        request._begin(owns_thread=False, detached=True)
        outcome: Outcome = "cancelled"
        closing = False
        step: Callable[[], Any] = stream.__anext__
        try:
            while True:
                with as_current(request):
                    item = await step()
                try:
                    tell_item(request, tokens, item)
                    sent = yield item
                except BaseException as error:
                    if stream.ag_frame is None:  # a loop that shuts down has closed it before
                        raise
                    closing = isinstance(error, GeneratorExit)
                    step = functools.partial(stream.athrow, error)
                else:
                    step = functools.partial(stream.asend, sent)
        except StopAsyncIteration:
            outcome = "cancelled" if closing else "ok"
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            request._end(outcome)

    return wrapper


async def _admitted(request: Request) -> Request:
    """A request whose budget, if it has one, lets it run.

    Raises:
        BudgetExceeded: it does not.
    """
    if request._guard is not None:
        await request._guard.before_async(request)
    return request


def tell_tokens(request: Request, tokens: ReadTokens, result: object) -> None:
    """Tells a request of the tokens that its result tells of."""
    try:
        found = read_tokens(tokens(result))
        if found is not None:
            Request.set_tokens(request, found)  # it is over: no budget can stop it
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        request.tokens_failed(error)


def tell_item(request: Request, tokens: ReadTokens | None, item: object) -> None:
    """Tells a request of one item of its stream: totals replace, plain numbers add up.

    Raises:
        BudgetExceeded: it is over its budget, and is to be stopped.
    """
    request.first_token()
    if tokens is not None:
        _tell_counts(request, tokens, item)
    if request._guard is not None:
        request._guard.during(request)


def _tell_counts(request: Request, tokens: ReadTokens, item: object) -> None:
    try:
        told = tokens(item)
        found = read_tokens(told)
        if found is not None and hasattr(told, "__index__"):
            Request.add_tokens(request, output=found.output)
        elif found is not None:
            Request.set_tokens(request, found)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        request.tokens_failed(error)
