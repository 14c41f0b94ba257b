"""One device's weights: takes its windows and the requests in them, gives shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from inferprint.learning.model import EQUAL, WorkModel
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
        own_j: weight of each request's own work; those with none left out.
        expected_j: active energy that the window was expected to have; None: not known.
    """

    shared_w: float
    own_j: Mapping[Key, float]
    expected_j: float | None


class Learner(Generic[Key]):
    """Weighs the requests of one device's windows, and learns from them.

    Args:
        model: what was learned before; None: nothing.
        own_w: watts of own work, before power saturates, at the load of before.
    """

    def __init__(self, model: WorkModel | None = None, own_w: Ratio | None = None) -> None:
        self.model = model or WorkModel()
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
        took = self._take(window.end_s, parts)
        self._forget(ended)
        if window.busy_s <= 0:
            return Split(EQUAL.shared_w, {}, None)
        work = WindowWork(
            window.duration_s,
            window.busy_s,
            window.active_j,
            window.idle_j,
            _by_model((model, new) for _, model, _, new in took),
            window.requests_s,
        )
        weights = self.model.weights(work)
        self.own_w.add(self.model.own_j(work), window.busy_s, BUSY * window.busy_s)
        own_j = {key: weights.own_j(model, done) for key, model, done, _ in took if any(done)}
        row = self._rows.push(work)
        if row is not None:
            self.model.learn(row)
        return Split(weights.shared_w, own_j, weights.expected_j)

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

    def _take(self, end_s: float, parts: Iterable[Part[Key]]) -> list[tuple[Key, str, Work, Work]]:
        """Each request's work since the last window: to be charged, and newly done."""
        took = []
        for key, model, progress in parts:
            done, corrected = progress.work(end_s), progress.corrections
            before, corrected_before = self._done.get(key, (NO_WORK, NO_WORK))
            self._done[key] = done, corrected
            since = new = done.minus(before)
            if corrected is not corrected_before:
                new = since.minus(corrected.minus(corrected_before))
            took.append((key, model, since, new))
        return took

    def _forget(self, ended: Iterable[Key]) -> None:
        for key in ended:
            self._done.pop(key, None)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold."""
        return self.model.state()


def _by_model(works: Iterable[tuple[str, Work]]) -> dict[str, Work]:
    sums: dict[str, Work] = {}
    for model, work in works:
        sums[model] = sums.get(model, NO_WORK).plus(work)
    return sums
