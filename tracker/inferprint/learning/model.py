"""What work costs on one device: F, and joules a token of each model, learned on line.

P = idle + g(F + w): F watts while any request runs, w the requests' own work, g a law that
saturates. Shared alike is g(F), and own work w is paid for at (g(F + w) - g(F)) / w.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from inferprint.learning.alike import alike
from inferprint.learning.errors import Errors, Misfit, errors_of
from inferprint.learning.fit import Observation, RecursiveFit
from inferprint.learning.law import bend_slope, saturated, slope
from inferprint.learning.noise import OUTLIER, Noise, Scatter
from inferprint.learning.past import Past
from inferprint.learning.prior import Prior
from inferprint.learning.work import NO_WORK, WindowWork, Work, sum_of, window_of

HORIZON_S = 600.0
"""How long an observation counts while others like it come."""

MOST_MODELS = 8
"""Models that a device's weights are learned for; others have a share of time only."""

RECENT = 48
"""Rows that are fitted anew each time: the law is not linear, and the first estimates are far
off."""

_RELEARN_KEEP = 0.005
_RELEARN_ROWS = 6
_LEAST_W = 1e-3
_LEAST_S = 1e-9
EASE_S = 2.0
"""Own work counts in full only when this has been seen a few times over, and the rest of it is
shared alike: the first estimates are the least certain, and equal shares of time are what there
was before them."""

KNOWN, LOST = 0.8, 1.0
"""Own work is told apart once its deviation is less than this part of itself, and until it is
more than that: with equal shares of time, which neglect it, it is off by all of itself."""

TOLD = 0.9
"""Windows have told something of own work if they narrow its deviation, by itself or relative
to it, to this part of what is expected before any are seen."""

LEAST_SEEN_S = 1.0
"""Nothing is taken to be known before requests have run for this long."""

_LEAST_BUSY = 0.2
_LEAST_TOKENS = 1e-3
# Of what is expected of a cost, where it is compared with another model's.
_LEAST_COST = 0.2


class Weights(NamedTuple):
    """How a window's active energy is weighed.

    Args:
        shared_w: weight of a second in which anyone runs, shared alike by those in flight.
        price_j: by model, weight of each token of its own work.
        expected_j: the active energy that the window is expected to have; None: not known.
        deviation_j: how far off that a sensor may be.
    """

    shared_w: float
    price_j: Mapping[str, Work]
    expected_j: float | None
    deviation_j: float = 0.0

    def own_j(self, model: str, work: Work) -> float:
        """The weight of a request's own work, not negative."""
        return max(0.0, work.times(self.price_j.get(model, NO_WORK)))


EQUAL = Weights(1.0, {}, None)
"""Equal shares of time in flight, while nothing is known."""


class WorkModel:
    """The cost of work on one device.

    Attributes:
        identified: whether the windows have shown how much of the power is requests' own
            work. A server that always runs one request can't show it.
        errors: how well the weights are known.
    """

    def __init__(self) -> None:
        self._fit = RecursiveFit()
        self._fixed, self._bend = 0, 1
        self._past = Past(self._fixed, self._bend)
        for _ in (self._fixed, self._bend):
            self._add()
        self._own: dict[str, Sequence[int]] = {}
        self._prior = Prior()
        self._noise = Noise()
        self._seen_s = 0.0
        self.identified = False
        self.errors = Errors()
        self._misfit = Misfit()
        self._recent: deque[WindowWork] = deque()

    @property
    def noise(self) -> float:
        """Relative standard deviation of the energy that the sensor counts in a second."""
        return self._noise.relative

    @property
    def cap_w(self) -> float:
        """The active power that is tended to; infinite where power is affine."""
        bend = self._fit.estimate[self._bend]
        return 1 / bend if bend else math.inf

    @property
    def fixed_w(self) -> float:
        """F, the active power while any request runs."""
        return saturated(self._fit.estimate[self._fixed], self._fit.estimate[self._bend])

    def price_j(self, model: str) -> Work:
        """Joules of each token of a model's own work, before power saturates."""
        own = self._own.get(model)
        return Work(*(self._fit.estimate[i] for i in own)) if own else NO_WORK

    def weights(self, window: WindowWork) -> Weights:
        """How a window's active energy is weighed, with what is known by now."""
        if window.busy_s < _LEAST_S:
            return EQUAL
        own_w = self._own_w(window)
        if self._fit.estimate[self._fixed] + own_w <= 0:
            return EQUAL
        prices = self._prices(own_w, window.work)
        expected_j = self._active_w(own_w) * window.busy_s
        deviation_j = self._deviation_j(window, expected_j)
        return Weights(self._shared_w(own_w), prices, expected_j, deviation_j)

    def prices(self, own_w: float) -> tuple[float, Mapping[str, Work]]:
        """Watts that are shared alike, and by model the joules of each token of own work, while
        all own work draws ``own_w`` before power saturates.
        """
        return self._shared_w(own_w), self._prices(own_w, self._own)

    def own_j(self, window: WindowWork) -> float:
        """The energy of all own work of a window, before power saturates."""
        return self._own_w(window) * window.busy_s

    def _active_w(self, own_w: float) -> float:
        return saturated(self._fit.estimate[self._fixed] + own_w, self._fit.estimate[self._bend])

    def _shared_w(self, own_w: float) -> float:
        """What is shared alike: what anyone running costs, and what of own work does not count
        as such yet.
        """
        own = self._own_part
        return own * self.fixed_w + (1 - own) * self._active_w(own_w)

    @property
    def _own_part(self) -> float:
        """How much of own work counts as such."""
        return -math.expm1(-self._seen_s / EASE_S)

    def _prices(self, own_w: float, models: Iterable[str]) -> Mapping[str, Work]:
        fixed_w, bend = self._fit.estimate[self._fixed], self._fit.estimate[self._bend]
        rise_w = self._active_w(own_w) - self.fixed_w
        marginal = rise_w / own_w if own_w > 0 else slope(fixed_w, bend)
        each = marginal * self._own_part
        return {model: Work(*(each * price for price in self.price_j(model))) for model in models}

    def learn(self, row: WindowWork) -> None:
        """Learns from a stretch of time in which requests ran.

        One in which they ran for less than a fifth of it, or used nothing, is left out.
        """
        if row.busy_s < _LEAST_BUSY * row.duration_s or row.active_j < _LEAST_W * row.busy_s:
            return
        self._prior.push(row)
        self._seen_s += row.duration_s
        self._watch(row)
        self._recent.append(row)
        if len(self._recent) > RECENT:
            self._keep(self._recent.popleft())
        models = self._take_in(self._recent)
        self._expect(models)
        seen = [self._linear(row) for row in self._recent]
        alike = self._alike(models)
        self._fit.recall(self._past.read(self._fit.estimate))
        self._fit.try_again([*(observation for observation, _ in seen), *alike])
        self._noise.settle(off for _, off in seen)
        self._fit.solve(self._indices(models))
        self.identified = self._tells_apart(models)
        if self.identified:
            self.errors = self._errors(models)

    def _tells_apart(self, models: Sequence[str]) -> bool:
        """Whether the own work of the recent rows is known well enough."""
        own = [
            (i, tokens)
            for model in models
            for i, tokens in zip(self._own[model], self._recent_work(model), strict=True)
        ]
        own_j = sum(self._fit.estimate[i] * tokens for i, tokens in own)
        expected = self._fit.expected(own)
        if self._seen_s < LEAST_SEEN_S or own_j <= 0 or expected.mean <= 0:
            return False
        deviation_j = self._fit.deviation(self._indices(models), own)
        if deviation_j > TOLD * expected.deviation * max(1.0, own_j / expected.mean):
            return False
        return deviation_j < (LOST if self.identified else KNOWN) * own_j

    def _errors(self, models: Sequence[str]) -> Errors:
        """How well the weights of the latest rows are known."""
        indices, busy_s = self._indices(models), sum(row.busy_s for row in self._recent)
        work = {model: self._recent_work(model) for model in models}

        def parts(values: Sequence[float]) -> list[float]:
            fixed, bend = max(0.0, values[0]), max(0.0, values[1])
            own = []
            for i, done in enumerate(work.values()):
                prompt_j, output_j, context_j = values[2 + 3 * i : 5 + 3 * i]
                own += [done.prompt * prompt_j, done.output * output_j + done.context * context_j]
            own_w = max(0.0, sum(own)) / busy_s
            shared_w = saturated(fixed, bend)
            marginal = slope(fixed, bend)
            if own_w > 0:
                marginal = (saturated(fixed + own_w, bend) - shared_w) / own_w
            return [shared_w * busy_s, *(marginal * joules for joules in own)]

        inflation = self._misfit.inflation
        covariance = [[inflation * x for x in line] for line in self._fit.covariance(indices)]
        tokens = {model: (done.prompt, done.output) for model, done in work.items()}
        return errors_of(parts, [self._fit.estimate[i] for i in indices], covariance, tokens)

    def _recent_work(self, model: str) -> Work:
        return sum_of(row.work.get(model, NO_WORK) for row in self._recent)

    def _watch(self, row: WindowWork) -> None:
        """Forgets what was learned once rows are lastingly not as expected."""
        if len(self._recent) < RECENT // 2:
            return
        expected_j = self._expected_j(row)
        strange = (row.active_j - expected_j) / self._deviation_j(row, expected_j)
        self._misfit.add(strange)
        if self._noise.changed(strange):
            self._past.forget(_RELEARN_KEEP)
            for _ in range(len(self._recent) - _RELEARN_ROWS):
                self._recent.popleft()

    def _keep(self, row: WindowWork) -> None:
        """A row is not looked at one by one again."""
        (_, _, precision), _ = self._linear(row)
        made_of = [(self._fixed, row.busy_s), *self._tokens(row)]
        keep = max(0.0, 1 - row.duration_s / HORIZON_S)
        self._past.take(made_of, (row.active_j, precision), self._expected_j(row), keep)

    def _tokens(self, row: WindowWork) -> Iterator[tuple[int, float]]:
        """A row's own work, by the parameters that are its price."""
        for model, work in row.work.items():
            own = zip(self._own.get(model, ()), work, strict=False)
            yield from ((i, tokens) for i, tokens in own if tokens > _LEAST_TOKENS)

    def _linear(self, row: WindowWork) -> tuple[Observation, tuple[float, Scatter]]:
        """A row as an observation that is linear about the present estimate (a step of Gauss
        and Newton), and how far off it is.
        """
        estimate = self._fit.estimate
        bend = estimate[self._bend]
        drive_w = estimate[self._fixed] + self._own_w(row)
        steep = slope(drive_w, bend)
        derivatives = [
            (self._fixed, row.busy_s * steep),
            (self._bend, row.busy_s * bend_slope(drive_w, bend)),
        ]
        derivatives += [(i, steep * tokens) for i, tokens in self._tokens(row)]
        expected_j = row.busy_s * saturated(drive_w, bend)
        off_j = row.active_j - expected_j
        scatter = self._scatter(row, expected_j, steep)
        variance_j2 = self._noise.variance_j2(scatter)
        robust = min(1.0, OUTLIER * math.sqrt(variance_j2) / abs(off_j)) if off_j else 1.0
        target = off_j + sum(value * estimate[i] for i, value in derivatives)
        return (derivatives, target, robust / variance_j2), (off_j, scatter)

    def _expected_j(self, row: WindowWork) -> float:
        drive_w = self._fit.estimate[self._fixed] + self._own_w(row)
        return row.busy_s * saturated(drive_w, self._fit.estimate[self._bend])

    def _expect(self, models: Sequence[str]) -> None:
        self._fit.expect(self._fixed, *self._prior.fixed)
        self._fit.expect(self._bend, *self._prior.bend)
        for model in models:
            expected = self._prior.own(model)
            if expected:
                for i, value in zip(self._own[model], expected, strict=True):
                    self._fit.expect(i, *value)

    def _alike(self, models: Sequence[str]) -> Iterator[Observation]:
        """What is expected of the models beside each other."""
        estimate, costs = self._fit.estimate, []
        for model in models:
            if expected := self._prior.own(model):
                own = zip(self._own[model], expected, strict=True)
                costs.append([(i, max(_LEAST_COST * one.mean, estimate[i])) for i, one in own])
        return alike(costs)

    def _deviation_j(self, row: WindowWork, expected_j: float) -> float:
        drive_w = self._fit.estimate[self._fixed] + self._own_w(row)
        steep = slope(drive_w, self._fit.estimate[self._bend])
        return math.sqrt(self._noise.variance_j2(self._scatter(row, expected_j, steep)))

    def _scatter(self, row: WindowWork, expected_j: float, steep: float) -> Scatter:
        level_j = row.idle_j + max(expected_j, 0.5 * row.active_j)
        prompts_j2 = sum(
            (steep * self.price_j(model).prompt) ** 2 * square
            for model, square in row.prompt_squares.items()
        )
        # A sensor that samples a part of the time may see all of a stretch that was partly
        # busy as busy, or none: the variance of that is at most p (1 - p).
        part = min(1.0, row.busy_s / row.duration_s)
        edges_j2 = part * (1 - part) * row.active_j**2
        return Scatter(level_j**2 / row.duration_s, prompts_j2, edges_j2)

    def _own_w(self, window: WindowWork) -> float:
        own_j = sum(work.times(self.price_j(model)) for model, work in window.work.items())
        return max(0.0, own_j) / window.busy_s

    def _take_in(self, rows: Iterable[WindowWork]) -> list[str]:
        """The models in rows that weights are learned for; new ones are taken in."""
        models = dict.fromkeys(model for row in rows for model in row.work)
        for model in models:
            if model not in self._own and len(self._own) < MOST_MODELS:
                self._own[model] = [self._add() for _ in NO_WORK]
        return [model for model in models if model in self._own]

    def _add(self) -> int:
        self._past.add()
        return self._fit.add()

    def _indices(self, models: Sequence[str]) -> list[int]:
        return [self._fixed, self._bend, *(i for model in models for i in self._own[model])]

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold; it goes on learning as if it
        had not been asked, and so does the model of this state.
        """
        return {
            "fit": self._fit.state(),
            "past": self._past.state(),
            "own": {model: list(indices) for model, indices in self._own.items()},
            "prior": self._prior.state(),
            "noise": self._noise.relative,
            "prompt_noise": self._noise.prompts,
            "seen_s": self._seen_s,
            "identified": self.identified,
            "recent": [
                row._replace(prompt_squares=dict(row.prompt_squares)) for row in self._recent
            ],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WorkModel:
        """The model that ``state`` was taken from.

        Raises:
            KeyError, TypeError, ValueError: it is no such state.
        """
        model = cls()
        model._fit = RecursiveFit.from_state(state["fit"])
        model._own = {name: list(map(int, indices)) for name, indices in state["own"].items()}
        model._prior = Prior.from_state(state["prior"])
        model._noise.relative = float(state["noise"])
        model._noise.prompts = float(state["prompt_noise"])
        model._seen_s = float(state["seen_s"])
        model.identified = bool(state["identified"])
        model._recent.extend(map(window_of, state["recent"]))
        used = [model._fixed, model._bend, *(i for own in model._own.values() for i in own)]
        model._fit.check_used(used)
        model._past = Past(model._fixed, model._bend)
        for _ in used:
            model._past.add()
        model._past.restore(state["past"])
        return model
