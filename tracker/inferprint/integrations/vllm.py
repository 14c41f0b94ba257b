"""Requests of vLLM, as its engine counts them: a stat logger, found by entry point.

vLLM (V1) loads ``inferprint.integrations.vllm:StatLogger`` from the group
``vllm.stat_logger_plugins`` by itself when both are installed; ``VLLM_PLUGINS`` names those that it
may load. It calls ``record`` after every step of the engine, with how many requests run, how many
tokens the step made, and the counts of those that have ended. That is all that is known of them:

- a request has no name before it ends. Those in flight are followed as places, first come, first
  served; one that ends takes the place whose age is nearest to its own, and gives it its id, its
  prompt, cached and output tokens, and the time of its prefill, which are the engine's.
- a request is first seen when the step that it came in ends. Its start is dated back by its time to
  the first token, and no further than the step before; a window of energy that was settled
  meanwhile stays as it was.
- of an aborted request vLLM tells nothing: of places that are more than those running, the ones
  that came last end as ``cancelled``.

These classes are not a stable interface of vLLM's: what is not as expected is a fault of ours,
counted and logged once, and the engine goes on.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from inferprint.integrations._calls import Call, Calls
from inferprint.records import Outcome, Tokens
from inferprint.request import NO_LABELS
from inferprint.units import NS_PER_S

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["Steps"]

log = logging.getLogger("inferprint")

# vLLM's FinishReason, by its number: stop, length, abort, error, repetition.
OUTCOMES: Mapping[int, Outcome] = {2: "cancelled", 3: "error"}


class _Place(NamedTuple):
    """A request in flight, whose name is not known."""

    call: Call
    started_s: float


class Steps:
    """Makes requests of what the engine tells after its steps.

    Args:
        model: the model's name.
        tracker: None: the process-wide one.
        labels: of every request.
    """

    def __init__(
        self, model: str, tracker: Tracker | None = None, labels: Mapping[str, str] = NO_LABELS
    ) -> None:
        self._model = model
        self._calls = Calls("vllm", tracker, {"engine": "vllm", **labels})
        self._places: list[_Place] = []
        self._waiting_first: list[_Place] = []
        self._stepped_s = self._now_s()

    def step(self, scheduler: Any, iteration: Any) -> None:
        """A step has ended.

        Args:
            scheduler: vLLM's ``SchedulerStats``; None: not told.
            iteration: its ``IterationStats``; None: the step made no output.
        """
        now_s = self._now_s()
        ended = list(iteration.finished_requests) if iteration is not None else []
        if scheduler is not None:
            self._come(int(scheduler.num_running_reqs) + len(ended), iteration, now_s)
        if iteration is not None:
            self._tell(iteration)
        for request in ended:
            self._end(request, now_s)
        preempted = 0 if scheduler is None else int(scheduler.num_waiting_reqs)
        if scheduler is not None and not preempted:
            self._abort(int(scheduler.num_running_reqs))
        self._stepped_s = now_s

    def close(self) -> None:
        """The engine stops: what is in flight is cancelled."""
        self._abort(0)

    def _come(self, running: int, iteration: Any, now_s: float) -> None:
        """New places, up to those that run; their prefill ended with this step, or goes on."""
        latencies = sorted(getattr(iteration, "time_to_first_tokens_iter", ()), reverse=True)
        since_s = max(0.0, now_s - self._stepped_s)
        for number in range(running - len(self._places)):
            # A latency counts from the arrival, and what waits is not in flight: no further back
            # than the step before. One whose prefill goes on came with this step.
            back_s = min(max(0.0, float(latencies[number])), since_s) if latencies[number:] else 0.0
            self._open(now_s - back_s)

    def _open(self, started_s: float) -> None:
        call = self._calls.open(self._model)
        if call.request is not None:
            started_ns = max(0, round(started_s * NS_PER_S))
            call.request._started_ns = min(call.request._started_ns, started_ns)
        place = _Place(call, started_s)
        self._places.append(place)
        self._waiting_first.append(place)

    def _tell(self, iteration: Any) -> None:
        """The step's tokens: one to each place whose prefill is done, what is over to the first."""
        for _ in iteration.time_to_first_tokens_iter:
            if self._waiting_first:
                self._waiting_first.pop(0).call.first_token()
        decoding = [place for place in self._places if place not in self._waiting_first]
        each, over = divmod(int(iteration.num_generation_tokens), max(1, len(decoding)))
        for number, place in enumerate(decoding):
            place.call.add_output(each + (number < over))

    def _end(self, ended: Any, now_s: float) -> None:
        age_s = float(ended.inference_time)
        place = min(
            self._places, key=lambda one: abs(now_s - one.started_s - age_s), default=None
        ) or self._unseen(now_s - age_s)
        self._drop(place)
        tokens = Tokens(
            int(ended.num_prompt_tokens),
            min(int(ended.num_cached_tokens), int(ended.num_prompt_tokens)),
            int(ended.num_generation_tokens),
        )
        request = place.call.request
        if request is not None:
            request._labels = {**request._labels, **_said(ended)}
            if ended.num_generation_tokens:
                prefill_ns = round(float(ended.prefill_time) * NS_PER_S)
                request._first_token_ns = request._started_ns + max(0, prefill_ns)
        place.call.end(OUTCOMES.get(int(ended.finish_reason), "ok"), tokens)

    def _unseen(self, started_s: float) -> _Place:
        self._open(started_s)
        return self._places[-1]

    def _abort(self, running: int) -> None:
        while len(self._places) > running:
            place = self._places[-1]
            self._drop(place)
            place.call.end("cancelled")

    def _drop(self, place: _Place) -> None:
        self._places.remove(place)
        if place in self._waiting_first:
            self._waiting_first.remove(place)

    def _now_s(self) -> float:
        return float(self._calls.tracker.now_ns() / NS_PER_S)


def _said(ended: Any) -> Mapping[str, str]:
    """What the engine tells of a request beside its tokens."""
    return {
        "engine_request_id": str(ended.request_id),
        "queued_s": f"{float(ended.queued_time):.6f}",
        "prefill_s": f"{float(ended.prefill_time):.6f}",
        "decode_s": f"{float(ended.decode_time):.6f}",
    }


class _Logger:
    """What vLLM makes of ``StatLogger``; none of its methods raises."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self._steps: Steps | None = None
        try:
            name = getattr(getattr(vllm_config, "model_config", None), "served_model_name", None)
            name = name[0] if isinstance(name, list | tuple) and name else name
            name = name or getattr(getattr(vllm_config, "model_config", None), "model", "")
            self._steps = Steps(str(name), labels={"engine_index": str(engine_index)})
        except Exception:
            log.exception("inferprint does not track this vLLM")

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """A step has ended."""
        if self._steps is None:
            return
        try:
            self._steps.step(scheduler_stats, iteration_stats)
        except Exception as error:  # noqa: BLE001 - its classes may change with any version
            self._steps._calls.fault(error)

    def log_engine_initialized(self) -> None:
        """Nothing."""


def __getattr__(name: str) -> Any:
    """``StatLogger``, made when it is asked for: it is a subclass of vLLM's, which takes seconds
    to import.
    """
    if name != "StatLogger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = importlib.import_module("vllm.v1.metrics.loggers").StatLoggerBase
    made = globals()[name] = type(name, (_Logger, base), {"__module__": __name__})
    return made
