"""A receipt for every call that LiteLLM makes, in its SDK and in its proxy.

In a program::

    litellm.callbacks = [inferprint.integrations.litellm.handler()]

In the proxy's ``config.yaml``::

    litellm_settings:
      callbacks: inferprint.integrations.litellm.proxy_handler

The proxy's replies then have the header ``x-inferprint-request-id``, and those that are not
streamed ``x-inferprint-energy-joules``, an estimate; a call whose header
``x-inferprint-budget-joules`` or ``x-inferprint-budget-carbon-grams`` is less than what it is
quoted at is refused with 429.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferprint.budget import Budget
from inferprint.integrations._calls import Call, Calls, imported
from inferprint.request import NO_LABELS

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["handler"]

FEATURE = "inferprint.integrations.litellm"
BUDGETS = {
    "x-inferprint-budget-joules": "energy_j",
    "x-inferprint-budget-carbon-grams": "carbon_g",
}
BAD_REQUEST, TOO_MANY = 400, 429
# A maximum for calls that tell of none: their usual length is what counts.
UNTOLD = 1_000_000
# LiteLLM tells nothing of a call that is cancelled. A call that is open for longer than this was:
# ten times its own default timeout of 600 s.
LONGEST_S = 6000.0
# Calls that have ended and whose headers may still be asked for.
MOST_KEPT = 1000


def handler(*, tracker: Tracker | None = None, labels: Mapping[str, str] = NO_LABELS) -> Any:
    """A ``CustomLogger`` for ``litellm.callbacks``.

    Args:
        tracker: None: the process-wide one.
        labels: of every request; on receipts, not in metrics.

    Raises:
        MissingExtra: the package litellm is not installed.
    """
    base = imported("litellm.integrations.custom_logger", FEATURE, "litellm").CustomLogger
    kind = type("InferprintLogger", (_Logger, base), {"__module__": __name__})
    made = kind()
    made.follow(Calls("litellm", tracker, labels))
    return made


class _Logger:
    """What LiteLLM calls; none of its methods raises, but for a budget that is exceeded."""

    def follow(self, calls: Calls) -> None:
        """Sets it up; its base's own initialiser takes other arguments."""
        self._calls = calls
        self._open: dict[str, tuple[Call, float]] = {}
        self._ended: dict[str, Call] = {}
        self._lock = threading.Lock()

    # ---- the SDK -------------------------------------------------------------------------

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """A model is about to be called; again, for a retry of the same call."""
        key = _key(kwargs)
        call = self._calls.open(model)
        now_s = time.monotonic()
        with self._lock:
            before = self._open.pop(key, None)
            self._open[key] = call, now_s
            lost = [one for one, (_, since_s) in self._open.items() if now_s - since_s > LONGEST_S]
            left = [self._open.pop(one)[0] for one in lost]
        if before is not None:
            before[0].end("error")
        for one in left:
            one.end("cancelled")

    def log_stream_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """A piece of a stream has come."""
        with self._lock:
            found = self._open.get(_key(kwargs))
        if found is not None:
            found[0].first_token()

    def log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """It has answered, and if it streams, to the end."""
        call = self._pop(kwargs)
        if call is not None:
            call.tell(lambda: getattr(response_obj, "usage", None))
            call.end("ok")

    def log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """It has failed."""
        call = self._pop(kwargs)
        if call is not None:
            error = kwargs.get("exception") if isinstance(kwargs, Mapping) else None
            call.end(error if isinstance(error, BaseException) else "error")

    async def async_log_stream_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """As ``log_stream_event``."""
        self.log_stream_event(kwargs, response_obj, start_time, end_time)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """As ``log_success_event``."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """As ``log_failure_event``."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    # ---- the proxy -----------------------------------------------------------------------

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any
    ) -> None:
        """Refuses a call that is over the budget in its headers.

        Raises:
            HTTPException: 429, with the quote in its body; 400 for a budget that is none.
        """
        try:
            budget = _budget(data)
        except ValueError as error:
            raise _refusal(BAD_REQUEST, {"error": str(error)}) from error
        if budget is None:
            return
        try:
            excess = self._excess(data, budget)
        except Exception as error:  # noqa: BLE001 - what can't be quoted is not refused
            self._calls.fault(error)
            return
        if excess is not None:
            raise _refusal(TOO_MANY, excess)

    async def async_post_call_response_headers_hook(
        self, data: Any, user_api_key_dict: Any, response: Any, *_: Any, **__: Any
    ) -> dict[str, str] | None:
        """The headers that say what it took so far."""
        try:
            return self._headers(data, streamed=hasattr(response, "__aiter__"))
        except Exception as error:  # noqa: BLE001 - a reply goes out without them
            self._calls.fault(error)
            return None

    def _excess(self, data: Any, budget: Budget) -> dict[str, Any] | None:
        model, messages = str(data.get("model", "")), data.get("messages")
        litellm = imported("litellm", FEATURE, "litellm")
        text = data.get("prompt") or data.get("input")
        quote = self._calls.tracker.quote(
            model,
            input_tokens=litellm.token_counter(model=model, messages=messages, text=text),
            max_output_tokens=data.get("max_completion_tokens") or data.get("max_tokens") or UNTOLD,
        )
        expected = {"energy_j": quote.energy.total_j, "carbon_g": quote.carbon}
        for part, figure in expected.items():
            limit = getattr(budget, part)
            if limit is not None and figure is not None and figure.mid > limit:
                return {"error": f"over budget: {part}", "limit": limit, "quote": quote.to_dict()}
        return None

    def _headers(self, data: Any, streamed: bool) -> dict[str, str] | None:
        key = _key(data)
        with self._lock:
            call = self._ended.get(key) or self._open.get(key, (None,))[0]
        if call is None or call.request is None:
            return None
        found = {"x-inferprint-request-id": call.request.request_id}
        if not streamed:
            total_j = call.request.estimate().energy.total_j
            if total_j is not None:
                found["x-inferprint-energy-joules"] = f"{total_j.mid:.6g}"
        return found

    def _pop(self, kwargs: Any) -> Call | None:
        key = _key(kwargs)
        with self._lock:
            call = self._open.pop(key, (None,))[0]
            if call is not None:
                self._ended[key] = call
                while len(self._ended) > MOST_KEPT:
                    del self._ended[next(iter(self._ended))]
        return call


def _key(kwargs: Any) -> str:
    """What LiteLLM calls a call, the same in all that it tells of it."""
    if not isinstance(kwargs, Mapping):
        return ""
    found = kwargs.get("litellm_call_id")
    return str(found or (kwargs.get("litellm_params") or {}).get("litellm_call_id") or "")


def _budget(data: Any) -> Budget | None:
    """Of a call's headers.

    Raises:
        ConfigError, ValueError: it is not a number above 0.
    """
    request = data.get("proxy_server_request") if isinstance(data, Mapping) else None
    headers = {str(k).lower(): v for k, v in ((request or {}).get("headers") or {}).items()}
    parts = {BUDGETS[name]: float(headers[name]) for name in BUDGETS if name in headers}
    return Budget(**parts) if parts else None


def _refusal(status: int, detail: Mapping[str, Any]) -> Exception:
    made: Exception = imported("fastapi", FEATURE, "litellm").HTTPException(status, dict(detail))
    return made


def __getattr__(name: str) -> Any:
    """``proxy_handler``, made when the proxy asks for it: it takes the process-wide tracker."""
    if name != "proxy_handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = handler()
    return made
