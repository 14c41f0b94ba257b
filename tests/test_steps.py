"""Windows close on a counter's steps: on simulated counters, whose steps are known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import median

import pytest

from inferprint.step_intervals import MS
from inferprint.steps import OVERDUE, StepClock
from inferprint.units import NS_PER_S

INTERVAL_NS = 100 * MS
START_NS = NS_PER_S
PERIODS_MS = (16.7, 20.0, 33.3, 50.0, 66.6, 100.0, 200.0)
# A counter that is updated this often is as good as one that advances all the time.
CONTINUOUS_MS = 0.5


@dataclass(frozen=True)
class Stretch:
    """How a counter steps for a while; ``period_ms`` None: it stands still."""

    seconds: float
    period_ms: float | None
    jitter_ms: float = 0.0


class Counter:
    """A counter that adds 1 at each of its steps."""

    def __init__(self, *stretches: Stretch, seed: int = 1) -> None:
        self._random = Random(seed)
        self.steps_ns = sorted(self._steps(stretches))

    def _steps(self, stretches: tuple[Stretch, ...]) -> Iterator[int]:
        from_ns = START_NS - 2 * NS_PER_S
        for stretch in stretches:
            to_ns = max(START_NS, from_ns) + stretch.seconds * NS_PER_S
            if stretch.period_ms is not None:
                at_ns = from_ns + self._random.random() * stretch.period_ms * MS
                while at_ns < to_ns:
                    yield round(at_ns + self._random.gauss(0, stretch.jitter_ms * MS))
                    at_ns += stretch.period_ms * MS
            from_ns = to_ns

    def read(self, at_ns: int) -> int:
        """What it shows."""
        return bisect_right(self.steps_ns, at_ns)

    def error_ms(self, closes_ns: int) -> float:
        """How far an instant is from the nearest step."""
        after = bisect_right(self.steps_ns, closes_ns)
        near = self.steps_ns[max(0, after - 1) : after + 1]
        return min(abs(closes_ns - step_ns) for step_ns in near) / MS


@dataclass
class Followed:
    """What a clock did with a counter: when it looked, and the windows that it closed."""

    counter: Counter
    looks_ns: list[int]
    closes: list[tuple[int, int, bool]]

    def closes_ns(self, from_s: float = 1.0) -> list[int]:
        """When windows closed, after so many seconds."""
        return [ns for ns, _, _ in self.closes if ns >= START_NS + from_s * NS_PER_S]

    def errors_ms(self, from_s: float = 1.0) -> list[float]:
        """How far from a step they closed."""
        return [self.counter.error_ms(closes_ns) for closes_ns in self.closes_ns(from_s)]

    def looks_a_second(self, from_s: float, to_s: float) -> float:
        """How often it looked."""
        low_ns, high_ns = (START_NS + s * NS_PER_S for s in (from_s, to_s))
        return sum(low_ns <= at_ns < high_ns for at_ns in self.looks_ns) / (to_s - from_s)

    def longest_s(self) -> float:
        """The longest window, the time to the first one included."""
        closes = [self.looks_ns[0], *(ns for ns, _, _ in self.closes), self.looks_ns[-1]]
        return max(after - before for before, after in pairwise(closes)) / NS_PER_S


def punctual(random: Random) -> float:
    """Milliseconds by which a look is late on a machine with nothing else to do."""
    return random.expovariate(1 / 0.08)


def busy(random: Random) -> float:
    """On one whose interpreter is held by others now and then."""
    return random.choice([0.1, 0.1, 0.1, 2.0, 5.0])


def follow(
    counter: Counter, seconds: float, lag_ms: Callable[[Random], float] = punctual, seed: int = 1
) -> Followed:
    """Looks at a counter when its clock says, or a little later."""
    clock, random, at_ns = StepClock(INTERVAL_NS), Random(seed), START_NS
    found = Followed(counter, [], [])
    while at_ns < START_NS + seconds * NS_PER_S:
        found.looks_ns.append(at_ns)
        value = counter.read(at_ns)
        closes_ns = clock.look(at_ns, float(value))
        if closes_ns is not None:
            assert closes_ns <= at_ns
            found.closes.append((closes_ns, value, clock.sharp))
        assert clock.next_look_ns > at_ns
        at_ns = round(max(at_ns, clock.next_look_ns) + lag_ms(random) * MS)
    return found


@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize("drift", [0.0, 1e-3, -1e-3])
def test_windows_close_on_the_steps(period_ms: float, drift: float) -> None:
    """After a second the median window closes within a millisecond of a true step, and few
    are farther off; also where the counter's clock is not quite the host's.
    """
    for seed in range(3):
        counter = Counter(Stretch(21, period_ms * (1 + drift)), seed=seed)
        found = follow(counter, 20, seed=seed)
        errors_ms = sorted(found.errors_ms())
        assert median(errors_ms) < 1.0
        assert errors_ms[int(0.95 * len(errors_ms))] < 2.0
        assert len(errors_ms) >= 19 / (1.5 * max(0.1, period_ms / 1_000))


@pytest.mark.parametrize("period_ms", PERIODS_MS)
def test_a_window_holds_the_steps_between_its_ends(period_ms: float) -> None:
    """The counter's value is that of the instant at which it is said to be: no step of the
    next window is in it, and none of it is missing.
    """
    counter = Counter(Stretch(21, period_ms))
    closes = [one for one in follow(counter, 20).closes if one[0] > START_NS + NS_PER_S]
    wrong = [
        value - counter.read(closes_ns)
        for closes_ns, value, _ in closes
        if value != counter.read(closes_ns + MS) and value != counter.read(closes_ns - MS)
    ]
    assert len(wrong) <= 0.02 * len(closes), wrong


@pytest.mark.parametrize("period_ms", [20.0, 50.0, 100.0])
@pytest.mark.parametrize("jitter_ms", [0.2, 0.5, 1.0])
def test_jitter_costs_no_more_than_itself(period_ms: float, jitter_ms: float) -> None:
    """The median window closes within a millisecond or two standard deviations of a step."""
    found = follow(Counter(Stretch(21, period_ms, jitter_ms)), 20)
    assert median(found.errors_ms()) < max(1.0, 2 * jitter_ms)


@pytest.mark.parametrize("period_ms", [50.0, 100.0])
def test_late_looks_are_made_up_for(period_ms: float) -> None:
    """On a busy machine two looks in five come milliseconds late."""
    found = follow(Counter(Stretch(21, period_ms)), 20, lag_ms=busy)
    assert median(found.errors_ms()) < 2.0


@pytest.mark.parametrize("period_ms", [*PERIODS_MS, CONTINUOUS_MS, 400.0, 1_000.0, None])
def test_looks_are_few(period_ms: float | None) -> None:
    """About thirty a second over a minute, the learning included, also of a counter that
    steps so slowly that its steps are never learned, or not at all.
    """
    found = follow(Counter(Stretch(62, period_ms)), 61)
    assert found.looks_a_second(0, 60) <= 33
    assert max(found.looks_a_second(start, start + 10) for start in range(1, 51)) <= 46


@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize(("jitter_ms", "most"), [(0.5, 36), (3.0, 42)])
def test_looks_stay_few_where_steps_jitter(period_ms: float, jitter_ms: float, most: int) -> None:
    """A third more at worst, for a step that is not where it was due."""
    found = follow(Counter(Stretch(62, period_ms, jitter_ms)), 61)
    assert found.looks_a_second(0, 60) <= most


DISTURBED = {
    "stops": [Stretch(5, 100.0), Stretch(5, None), Stretch(20, 100.0)],
    "begins": [Stretch(5, None), Stretch(20, 50.0)],
    "turns continuous": [Stretch(5, 50.0), Stretch(20, CONTINUOUS_MS)],
    "turns stepped": [Stretch(5, CONTINUOUS_MS), Stretch(60, 50.0)],
    "steps faster": [Stretch(5, 100.0), Stretch(60, 20.0)],
    "steps slower": [Stretch(5, 20.0), Stretch(60, 100.0)],
    "shifts": [Stretch(5.037, 100.0), Stretch(60, 100.0)],
    "jitters": [Stretch(5, 50.0), Stretch(10, 50.0, 8.0), Stretch(60, 50.0)],
}


@pytest.mark.parametrize("what", DISTURBED)
@pytest.mark.parametrize("lag_ms", [punctual, busy])
def test_windows_go_on_closing_whatever_the_counter_does(
    what: str, lag_ms: Callable[[Random], float]
) -> None:
    """None is longer than two and a half intervals and the wait for one look."""
    stretches = DISTURBED[what]
    seconds = sum(stretch.seconds for stretch in stretches)
    found = follow(Counter(*stretches), seconds - 0.5, lag_ms=lag_ms)
    assert found.longest_s() <= OVERDUE * 0.1 + 0.1 + 0.006
    assert [ns for ns, _, _ in found.closes] == sorted({ns for ns, _, _ in found.closes})


@pytest.mark.parametrize("period_ms", [*PERIODS_MS, CONTINUOUS_MS, 400.0, None])
def test_windows_are_at_most_two_and_a_half_intervals_long(period_ms: float | None) -> None:
    """Whatever the period is, and from the first second on, but for two late looks."""
    found = follow(Counter(Stretch(21, period_ms)), 20, lag_ms=busy)
    assert found.longest_s() <= OVERDUE * 0.1 + 0.01


@pytest.mark.parametrize("what", ["stops", "begins", "steps faster", "steps slower", "shifts"])
def test_steps_are_found_again(what: str) -> None:
    """After at most half a minute the windows close on them as before."""
    stretches = [*DISTURBED[what][:-1], Stretch(40, DISTURBED[what][-1].period_ms)]
    changed_s = sum(stretch.seconds for stretch in stretches[:-1])
    found = follow(Counter(*stretches), changed_s + 39)
    assert median(found.errors_ms(changed_s + 32)) < 1.0


def test_a_counter_that_advances_all_the_time_is_read_on_a_grid() -> None:
    """Every tenth of a second, and once for each window."""
    found = follow(Counter(Stretch(21, CONTINUOUS_MS)), 20)
    lengths_ms = [(after - before) / MS for before, after in pairwise(found.closes_ns())]
    assert median(lengths_ms) == pytest.approx(100.0, abs=1.0)
    assert found.looks_a_second(2, 19) < 12


def test_what_is_said_to_be_sharp_is() -> None:
    """A window that is called so closed on a step; most are."""
    counter = Counter(Stretch(21, 100.0))
    found = [one for one in follow(counter, 20).closes if one[0] > START_NS + NS_PER_S]
    sharp = [closes_ns for closes_ns, _, is_sharp in found if is_sharp]
    assert len(sharp) > 0.9 * len(found)
    assert max(counter.error_ms(closes_ns) for closes_ns in sharp) < 2.0
