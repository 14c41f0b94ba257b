"""One device's weights: takes its windows and the requests in them, gives shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple

from inferprint.learning.lag import Lag
from inferprint.learning.model import EQUAL, WorkModel
from inferprint.learning.own import Key, Own, Part, take, weigh
from inferprint.learning.rows import Rows
from inferprint.learning.usual import BUSY, Ratio
from inferprint.learning.work import NO_WORK, WindowWork, Work


class Window(NamedTuple):
    """A window, as in ``WindowWork``; ``end_s`` is on the clock of the requests."""

    end_s: float
    duration_s: float
    busy_s: float
    active_j: float
    idle_j: float
    requests_s: Mapping[str, float]


class Split(NamedTuple, Generic[Key]):
    """The weights of a window.

    Args:
        shared_w: weight per second, shared alike by those in flight.
        own: weights of requests' own work, by model.
        expected_j: active energy that the window was expected to have; None: not known.
        deviation_j: how far off that a sensor may be.
        shared_error: relative standard deviation of ``shared_w``.
    """

    shared_w: float
    own: Sequence[Own[Key]]
    expected_j: float | None
    deviation_j: float = 0.0
    shared_error: float = 0.0


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
        # When the last window ended; None: what came after is not known.
        self._end_s: float | None = -math.inf
        self.own_w = own_w or Ratio()

    def weigh(self, window: Window, parts: Iterable[Part[Key]]) -> Split[Key]:
        """The weights of a window: with what was learned before it, which then learns it.

        Args:
            window: the next in time.
            parts: the requests that were in flight in it.
        """
        took = take(window.end_s, parts)
        if window.busy_s <= 0:
            return Split(EQUAL.shared_w, (), None)
        new = {model: its.new for model, its in took.items()}
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
        errors = self.model.errors
        own = [
            weigh(its, weights.price_j.get(model, NO_WORK), errors.work.get(model))
            for model, its in took.items()
        ]
        if self._lag is not None:
            work = self._lag.seen(work, self._rested_s(window))
            weights = self.model.weights(work)  # of which what is expected counts from here on
        self._end_s = window.end_s
        row = self._rows.push(work)
        if row is not None:
            self.model.learn(row)
        return Split(
            weights.shared_w,
            own,
            weights.expected_j,
            weights.deviation_j,
            errors.shared,
        )

    def _rested_s(self, window: Window) -> float:
        """For how long nobody had run before a window."""
        if self._end_s is None:
            return 0.0
        return max(0.0, window.end_s - window.duration_s - self._end_s)

    def prices(self) -> tuple[float, Mapping[str, Work]]:
        """What work costs at the load of the last ten seconds: watts that are shared alike, and
        joules of a token by model.
        """
        return self.model.prices(self.own_w.value or 0.0)

    def skip(self, end_s: float, parts: Iterable[Part[Key]]) -> None:
        """A window whose energy is not known: the work in it is nobody's."""
        take(end_s, parts)
        self._rows.drop()
        self._end_s = None
        if self._lag is not None:
            self._lag.drop()

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold."""
        return self.model.state()
