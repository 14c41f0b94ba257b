"""One device's weights: takes its windows and the requests in them, gives shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from inferprint.learning.errors import Errors
from inferprint.learning.lag import Lag
from inferprint.learning.model import EQUAL, Weights, WorkModel
from inferprint.learning.progress import Progress
from inferprint.learning.rows import Rows
from inferprint.learning.usual import BUSY, Ratio
from inferprint.learning.work import NO_WORK, WindowWork, Work

Key = TypeVar("Key", bound=Hashable)


class Part(NamedTuple, Generic[Key]):
    """A request that was in flight in a window: what stands for it, its model, its work."""

    key: Key
    model: str
    progress: Progress


Took = tuple[Key, str, float, float, float]
"""What a request did in a window: its key, its model, and its ``Work``."""

_NOTHING_DONE = NO_WORK, NO_WORK


class Window(NamedTuple):
    """A window, as in ``WindowWork``; ``end_s`` is on the clock of the requests."""

    end_s: float
    duration_s: float
    busy_s: float
    active_j: float
    idle_j: float
    requests_s: Mapping[str, float]


OwnError = tuple[float, float, tuple[float, ...], float]
"""Standard deviations of the weights of a request's prompt and output in a window, how their
errors go together with what is shared and with each other, as ``WorkError`` has it, and the
weight of its prompt."""


class Split(NamedTuple, Generic[Key]):
    """The weights of a window.

    Args:
        shared_w: weight per second, shared alike by those in flight.
        own_j: weight of each request's own work; those with none left out.
        expected_j: active energy that the window was expected to have; None: not known.
        deviation_j: how far off that a sensor may be.
        shared_error: relative standard deviation of ``shared_w``.
        own_errors: how far off the weight of each request's own work may be.
    """

    shared_w: float
    own_j: Mapping[Key, float]
    expected_j: float | None
    deviation_j: float = 0.0
    shared_error: float = 0.0
    own_errors: Mapping[Key, OwnError] = {}


class Learner(Generic[Key]):
    """Weighs the requests of one device's windows, and learns from them.

    Args:
        model: what was learned before; None: nothing.
        own_w: watts of own work, before power saturates, at the load of before.
        average_s: seconds over which the sensor averages.
    """

    def __init__(
        self,
        model: WorkModel | None = None,
        own_w: Ratio | None = None,
        average_s: float = 0.0,
    ) -> None:
        self.model = model or WorkModel()
        self._lag = Lag(average_s) if average_s else None
        self._rows = Rows()
        self.own_w = own_w or Ratio()
        # What each request had done, and been corrected by, at the last window's end.
        self._done: dict[Key, tuple[Work, Work]] = {}

    def weigh(self, window: Window, parts: Iterable[Part[Key]], ended: Iterable[Key]) -> Split[Key]:
        """The weights of a window: with what was learned before it, which then learns it.

        Args:
            window: the next in time.
            parts: the requests that were in flight in it.
            ended: those of them that have ended, and have no part in later windows.
        """
        took, new = self._take(window.end_s, parts)
        self._forget(ended)
        if window.busy_s <= 0:
            return Split(EQUAL.shared_w, {}, None)
        work = WindowWork(
            window.duration_s,
            window.busy_s,
            window.active_j,
            window.idle_j,
            new,
            window.requests_s,
            {model: done.prompt**2 for model, done in new.items()},
        )
        weights = self.model.weights(work)
        self.own_w.add(self.model.own_j(work), window.busy_s, BUSY * window.busy_s)
        own_j = _own_j(took, weights)
        errors = self.model.errors
        own_errors = _own_errors(took, errors, weights)
        if self._lag is not None:
            work = self._lag.seen(work)
            weights = self.model.weights(work)  # of which what is expected counts from here on
        row = self._rows.push(work)
        if row is not None:
            self.model.learn(row)
        return Split(
            weights.shared_w,
            own_j,
            weights.expected_j,
            weights.deviation_j,
            errors.shared,
            own_errors,
        )

    def prices(self) -> tuple[float, Mapping[str, Work]]:
        """What work costs at the load of the last ten seconds: watts that are shared alike, and
        joules of a token by model.
        """
        return self.model.prices(self.own_w.value or 0.0)

    def skip(self, end_s: float, parts: Iterable[Part[Key]], ended: Iterable[Key]) -> None:
        """A window whose energy is not known: the work in it is nobody's."""
        self._take(end_s, parts)
        self._forget(ended)
        self._rows.drop()
        if self._lag is not None:
            self._lag.drop()

    def _take(
        self, end_s: float, parts: Iterable[Part[Key]]
    ) -> tuple[list[Took[Key]], dict[str, Work]]:
        """The requests' work since the last window: of each, to be charged, and of each model,
        newly done.
        """
        took: list[Took[Key]] = []
        sums: dict[str, list[float]] = {}
        done = self._done
        for key, model, progress in parts:
            at_end, corrected = progress.work(end_s), progress.corrections
            before, corrected_before = done.get(key, _NOTHING_DONE)
            done[key] = at_end, corrected
            prompt = at_end[0] - before[0]
            output = at_end[1] - before[1]
            context = at_end[2] - before[2]
            took.append((key, model, prompt, output, context))
            total = sums.get(model)
            if total is None:
                total = sums[model] = [0.0, 0.0, 0.0]
            total[0] += prompt
            total[1] += output
            total[2] += context
            if corrected is not corrected_before:
                for i, much in enumerate(corrected.minus(corrected_before)):
                    total[i] -= much
        return took, {model: Work(*total) for model, total in sums.items()}

    def _forget(self, ended: Iterable[Key]) -> None:
        for key in ended:
            self._done.pop(key, None)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold."""
        return self.model.state()


def _own_errors(took: Iterable[Took[Key]], errors: Errors, weights: Weights) -> dict[Key, OwnError]:
    """How far off the weight of each request's own work may be."""
    own_errors: dict[Key, OwnError] = {}
    work = errors.work
    for key, model, prompt, output, _ in took:
        error = work.get(model)
        if error is not None and (prompt or output):
            own_prompt = max(0.0, prompt) * weights.price_j.get(model, NO_WORK).prompt
            own_errors[key] = (
                prompt * error.prompt_j,
                output * error.output_j,
                error[2:],
                own_prompt,
            )
    return own_errors


def _own_j(took: Iterable[Took[Key]], weights: Weights) -> dict[Key, float]:
    """The weight of each request's own work, not negative; those with none left out."""
    own_j = {}
    prices = weights.price_j
    for key, model, prompt, output, context in took:
        if prompt or output or context:
            prompt_j, output_j, context_j = prices.get(model, NO_WORK)
            each_j = prompt * prompt_j + output * output_j + context * context_j
            own_j[key] = each_j if each_j > 0 else 0.0
    return own_j
