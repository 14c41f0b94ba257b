"""One run of overlapping requests on the stand-in GPU, in the process that measures them.

Prints what each request used in truth and what its receipt says, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks._rig import from_tests
from inferprint import Config, Device, PowerSource, Reading, Receipt, Request, Tracker
from inferprint.sources import nvml
from inferprint.units import NS_PER_S

BASE_W = 120.0
CONSTANT_W = 200.0
REQUESTS = 8
STARTS_WITHIN_S = 1.5
SHORTEST_S, LONGEST_S = 0.7, 3.0
BOARD = 0
# Until the counter's steps are learned and idle power has been seen for a second.
QUIET_S = 2.0


@dataclass(frozen=True)
class Spec:
    """One run.

    Args:
        mode: ``threads``, ``asyncio`` or ``mixed``.
        seed: of the requests' times.
        watts: what each request adds to the board's power while it runs.
        constant: the board draws ``CONSTANT_W`` above idle while any request runs, however
            many there are, and not the sum of ``watts``.
        quiet: whether a quiet stretch comes first, in which idle power can be seen.
        blind: whether windows close on the clock instead of on the counter's steps.
    """

    mode: str
    seed: int
    watts: Sequence[float] = (40.0,) * REQUESTS
    constant: bool = False
    quiet: bool = True
    blind: bool = False


@dataclass
class Outcome:
    """A request: what it used in truth, and what its receipt says; joules."""

    true_active_j: float = 0.0
    true_idle_j: float = 0.0
    active_j: float | None = None
    idle_j: float | None = None
    total_j: float | None = None
    settled_s: float = 0.0


@dataclass
class Board:
    """Sets the stand-in's power at every start and end, and keeps the account of the truth."""

    simulator: Any
    spec: Spec
    outcomes: list[Outcome] = field(default_factory=lambda: [Outcome() for _ in range(REQUESTS)])

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._since_ns = 0

    def starts(self, number: int) -> None:
        """A request begins to draw power."""
        self._change(self._running.add, number)

    def ends(self, number: int) -> None:
        """A request draws power no more."""
        self._change(self._running.remove, number)

    def _change(self, change: Callable[[int], None], number: int) -> None:
        with self._lock:
            before_w = self._active_w()
            running = sorted(self._running)
            change(number)
            at_ns = self.simulator.set_power(BOARD, BASE_W + sum(self._active_w().values()))
            passed_s = (at_ns - self._since_ns) / NS_PER_S
            for one in running:
                self.outcomes[one].true_active_j += before_w[one] * passed_s
                self.outcomes[one].true_idle_j += BASE_W * passed_s / len(running)
            self._since_ns = at_ns

    def _active_w(self) -> dict[int, float]:
        if not self.spec.constant:
            return {one: self.spec.watts[one] for one in self._running}
        return {one: CONSTANT_W / len(self._running) for one in self._running}


class Blind:
    """A source whose counter is not said to step, so that its windows close on the clock."""

    def __init__(self, source: PowerSource) -> None:
        self._source = source

    def devices(self) -> Sequence[Device]:
        return [replace(device, step_s=None) for device in self._source.devices()]

    def read(self) -> Sequence[Reading]:
        return self._source.read()

    def close(self) -> None:
        self._source.close()


class Clients:
    """Sends the requests, each at its time and for its duration."""

    def __init__(self, tracker: Tracker, board: Board) -> None:
        rng = random.Random(board.spec.seed)
        self._tracker, self._board, self._mode = tracker, board, board.spec.mode
        self._starts_s = [rng.uniform(0, STARTS_WITHIN_S) for _ in range(REQUESTS)]
        self._starts_s[0] = 0.0
        self._durations_s = [rng.uniform(SHORTEST_S, LONGEST_S) for _ in range(REQUESTS)]

    def run(self) -> None:
        """Until all have their receipts."""
        numbers = range(REQUESTS)
        in_threads = {"threads": numbers, "asyncio": [], "mixed": numbers[::2]}[self._mode]
        threads = [threading.Thread(target=self._in_thread, args=(one,)) for one in in_threads]
        for thread in threads:
            thread.start()
        asyncio.run(self._in_loop([one for one in numbers if one not in in_threads]))
        for thread in threads:
            thread.join()

    def _in_thread(self, number: int) -> None:
        time.sleep(self._starts_s[number])
        with self._tracker.request("m") as request:
            self._board.starts(number)
            time.sleep(self._durations_s[number])
            self._board.ends(number)
        self._note(number, request, request.receipt())

    async def _in_loop(self, numbers: Sequence[int]) -> None:
        await asyncio.gather(*map(self._in_task, numbers))

    async def _in_task(self, number: int) -> None:
        await asyncio.sleep(self._starts_s[number])
        async with self._tracker.request("m") as request:
            self._board.starts(number)
            await asyncio.sleep(self._durations_s[number])
            self._board.ends(number)
        self._note(number, request, await request.settled())

    def _note(self, number: int, request: Request, receipt: Receipt) -> None:
        outcome, energy = self._board.outcomes[number], receipt.energy
        outcome.settled_s = (time.monotonic_ns() - request._ended_ns) / NS_PER_S
        outcome.total_j = _joules(energy.total_j)
        outcome.active_j, outcome.idle_j = _joules(energy.active_j), _joules(energy.idle_j)


def _joules(figure: Any) -> float | None:
    return None if figure is None else float(figure)


def run(spec: Spec) -> dict[str, Any]:
    """Runs the requests on the stand-in that this process was started with.

    Returns:
        What came of the requests, and the idle watts that the tracker went by.
    """
    sources: Sequence[PowerSource] = nvml.detect(None)[0]
    if spec.blind:
        sources = [Blind(source) for source in sources]
    # Standing energy is left out, so that a receipt's total is what the request drew itself.
    config = Config(idle_policy="in_flight")
    with (
        from_tests("nvml_sim").Simulator.attach() as simulator,
        Tracker(config, sources=sources) as tracker,
    ):
        time.sleep(QUIET_S if spec.quiet else 0.0)
        board = Board(simulator, spec)
        Clients(tracker, board).run()
        (books,) = tracker.balance().devices.values()
    return {"idle_w": books.idle_w, "outcomes": [asdict(one) for one in board.outcomes]}


if __name__ == "__main__":
    print(json.dumps(run(Spec(**json.loads(sys.argv[1])))))
