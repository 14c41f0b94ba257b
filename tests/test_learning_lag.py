"""What a sensor that tells a mean of the last second has seen of the work."""

from __future__ import annotations

import math
from collections import deque
from random import Random

import pytest

from inferprint.learning.lag import Lag
from inferprint.learning.work import WindowWork, Work

WINDOW_S, AVERAGE_S = 0.1, 1.0
FIXED_W, PROMPT_J, OUTPUT_J = 200.0, 0.02, 0.5


def window(rng: Random) -> WindowWork:
    """A tenth of a second, partly busy, with some work of two models; its energy is not told."""
    busy_s = rng.choice([WINDOW_S, WINDOW_S / 2])
    works = {model: Work(rng.randint(0, 300), rng.randint(0, 30)) for model in ("m", "n")}
    model = rng.choice(["m", "n"])
    return WindowWork(WINDOW_S, busy_s, 0.0, 1.0, {model: works[model]}, {model: busy_s})


def used_j(done: WindowWork) -> float:
    """What that takes on an affine device."""
    price_j = Work(PROMPT_J, OUTPUT_J)
    return FIXED_W * done.busy_s + sum(work.times(price_j) for work in done.work.values())


def test_a_mean_is_explained_by_the_work_that_it_tells_of() -> None:
    """From the first whole second on, the energy that a sensor of 1 s means tells is that of the
    work that is given beside it, to rounding.
    """
    rng, lag = Random(1), Lag(AVERAGE_S)
    last = deque[float](maxlen=round(AVERAGE_S / WINDOW_S))
    for number in range(300):
        done = window(rng)
        last.append(used_j(done))
        told_j = sum(last) / len(last)
        seen = lag.seen(done._replace(active_j=told_j))
        assert (seen.duration_s, seen.active_j, seen.idle_j) == (WINDOW_S, told_j, 1.0)
        if number >= AVERAGE_S / WINDOW_S:
            assert used_j(seen) == pytest.approx(told_j, rel=1e-9)


def test_windows_of_uneven_length_are_put_together_by_their_length() -> None:
    """Steady work is told as it is, however the windows lie."""
    rng, lag = Random(2), Lag(AVERAGE_S)
    for _ in range(200):
        duration_s = rng.uniform(0.02, 2.5)
        work = {"m": Work(0.0, 30 * duration_s)}
        given = WindowWork(duration_s, duration_s, 1.0, 0.0, work, {"m": duration_s})
        seen = lag.seen(given)
        assert seen.work["m"].output == pytest.approx(30 * duration_s)
        assert seen.busy_s == pytest.approx(duration_s)
        assert seen.concurrency == pytest.approx(1.0)


def test_after_a_missing_window_it_begins_anew() -> None:
    """What was before is not known to be still in the mean."""
    rng, lag = Random(3), Lag(AVERAGE_S)
    for _ in range(20):
        lag.seen(window(rng))
    lag.drop()
    done = window(rng)
    assert used_j(lag.seen(done)) == pytest.approx(used_j(done))


def test_the_mean_after_a_rest_is_in_part_of_the_rest() -> None:
    """From the first window on where nobody ran before, and after each rest, the sensor's mean is
    explained by what ran and by how long nobody did.
    """
    rng, lag = Random(4), Lag(AVERAGE_S)
    last, rested_s = deque([0.0] * 10, maxlen=10), math.inf
    for number in range(300):
        if number % 30 in (3, 4, 5) or number % 70 > 55:
            last.append(0.0)
            rested_s += WINDOW_S
            continue
        done = window(rng)
        last.append(used_j(done))
        seen = lag.seen(done._replace(active_j=sum(last) / 10), rested_s)
        assert used_j(seen) == pytest.approx(seen.active_j, rel=1e-9)
        rested_s = 0.0
