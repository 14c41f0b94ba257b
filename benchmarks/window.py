"""What the books take for a window in which 500 requests start and 500 end, all telling tokens,
beside a fixed loop of Python: work is weighed by what was learned, and receipts have intervals.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from statistics import median, quantiles

from benchmarks._report import Report, main
from inferprint import Config, Device
from inferprint.books import Account, Books
from inferprint.learning.hearing import Hearing, Told
from inferprint.ledgers import ledger_of
from inferprint.settlement import settlement
from inferprint.units import NS_PER_S
from inferprint.weights import LEARNED_WORK
from inferprint.windows import Window

STARTS = 500
WINDOW_NS = NS_PER_S // 10
MODEL = "m"
LOOP = 20_000
IDLE_W, FIXED_W, PROMPT_J, OUTPUT_J = 100.0, 120.0, 2e-4, 4e-2
"""A made-up board: nothing here depends on them, but that the work can be told apart."""
NOISE = 0.02
# Windows for which the load stays alike.
STEADY = 10
# Until work is told apart and the rows that are fitted anew each time are complete.
WARM_UP = 500


class Server:
    """Starts requests that end in the next window, and closes windows.

    ``taken_ms`` has the milliseconds of CPU time of each part of each window.
    """

    def __init__(self) -> None:
        device = Device("gpu:0", "gpu", "made up", relative_error=0.05)
        self.books = Books([ledger_of(device, None, 0, Config(gpu_idle_w=IDLE_W), None)])
        self.taken_ms: dict[str, list[float]] = {"hear": [], "books": [], "loop": []}
        self._hearing = Hearing()
        self._dice = random.Random(1)
        self._running: list[tuple[Account, int]] = []
        self._at_ns = self._windows = 0
        self._most = 1, 1

    def window(self) -> list[Account]:
        """Serves for a window and closes it; the requests that were settled."""
        starting, prompts, outputs = list[tuple[Account, int]](), 0, 0
        if self._windows % STEADY == 0:
            self._most = self._dice.randrange(20, 2_000), self._dice.randrange(2, 40)
        self._windows += 1
        most_prompt, most_output = self._most
        for number, (account, prompt) in enumerate(self._running):
            at_ns = self._at_ns + number * WINDOW_NS // STARTS
            output = self._dice.randrange(1, most_output)
            outputs += output
            self._end(account, Told(prompt, output, (account.started_ns + 1000, 1)), at_ns)
            started_ns = at_ns + WINDOW_NS // STARTS // 2
            more = self._dice.randrange(1, most_prompt)
            prompts += more
            starting.append((self._start(started_ns, more), more))
        self._running = starting
        return self._close(prompts * PROMPT_J + outputs * OUTPUT_J)

    def open(self) -> None:
        """The requests of before the first window."""
        self._running = [(self._start(0, 100), 100) for _ in range(STARTS)]
        self._close(0.0)

    def _start(self, at_ns: int, prompt: int) -> Account:
        account = Account(None, at_ns, model=MODEL)
        self.books.start(account)
        told = Told(prompt, 1, (at_ns + 1000, 1))
        self._hearing.start(account, told)
        self._hearing.tell(account, told, self._at_ns + WINDOW_NS)
        return account

    def _end(self, account: Account, told: Told, at_ns: int) -> None:
        self.books.end(account, at_ns)
        self._hearing.end(account, told, at_ns)

    def _close(self, own_j: float) -> list[Account]:
        start_ns, self._at_ns = self._at_ns, self._at_ns + WINDOW_NS
        active_j = FIXED_W * WINDOW_NS / NS_PER_S + own_j
        energy_j = IDLE_W * WINDOW_NS / NS_PER_S + active_j * self._dice.gauss(1, NOISE)
        window = Window("gpu:0", start_ns, self._at_ns, energy_j)
        self._time("hear", lambda: self._hearing.advance(self._at_ns))
        self._time("books", lambda: self.books.close(window))
        self._time("loop", fixed_loop)
        return self.books.settled()

    def _time(self, name: str, work: Callable[[], Iterable[object]]) -> None:
        began_s = time.thread_time()
        deque(work(), maxlen=0)
        self.taken_ms[name].append((time.thread_time() - began_s) * 1e3)


def fixed_loop() -> Iterator[None]:
    """What the rest is compared with; it never changes."""
    total = 0
    for number in range(LOOP):
        total += number * number
    yield


def settlement_us(settled: Iterable[Account]) -> list[float]:
    """Microseconds to say what each was charged, with the intervals."""
    taken_us = []
    for account in settled:
        began_s = time.thread_time()
        said = settlement(account, "in_flight")
        taken_us.append((time.thread_time() - began_s) * 1e6)
        if said.method != LEARNED_WORK:
            raise SystemExit(f"work is not told apart: {said.method}")
    return taken_us


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    server = Server()
    server.open()
    for _ in range(WARM_UP):
        server.window()
    for taken in server.taken_ms.values():
        taken.clear()
    taken_us = list[float]()
    for _ in range(60 if quick else 600):
        taken_us += settlement_us(server.window())
    hear, books, loop = (server.taken_ms[name] for name in ("hear", "books", "loop"))
    tenths = quantiles(books, n=10)
    return {
        "books_ms": median(books),
        "books_p10_ms": tenths[0],
        "books_p90_ms": tenths[-1],
        "hear_ms": median(hear),
        "loop_ms": median(loop),
        "books_over_loop": median(a / b for a, b in zip(books, loop, strict=True)),
        "hear_over_loop": median(a / b for a, b in zip(hear, loop, strict=True)),
        "settlement_us": median(taken_us),
        "closure_error": server.books.balance()["gpu:0"].closure_error,
    }


if __name__ == "__main__":
    main(__doc__, measure)
