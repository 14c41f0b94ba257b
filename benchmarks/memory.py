"""Memory that a running tracker adds to a process, and whether it grows with the requests."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks._report import Report, main
from benchmarks._rig import start

MB = 1e6
# Requests after which the process has its working size.
WARM_UP = 20_000
WATCH_EVERY_S = 0.02


class Server:
    """The process that is looked at."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._memory = psutil.Process(process.pid)
        self.peak_mb = 0.0

    def does(self, step: str) -> float:
        """Lets it do a step; its resident megabytes then."""
        assert self._process.stdin is not None
        self._process.stdin.write(step + "\n")
        self._process.stdin.flush()
        return self.answers()

    def answers(self) -> float:
        """Waits until a step is done; its resident megabytes then."""
        assert self._process.stdout is not None
        with self._watched():
            line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process ended before it had answered")
        return self._resident_mb()

    def _resident_mb(self) -> float:
        return float(self._memory.memory_info().rss) / MB

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Keeps the highest size of a step in ``peak_mb``."""
        self.peak_mb, done = 0.0, threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_EVERY_S):
                self.peak_mb = max(self.peak_mb, self._resident_mb())

        thread = threading.Thread(target=watch)
        thread.start()
        yield
        done.set()
        thread.join()


@contextmanager
def server() -> Iterator[tuple[Server, float]]:
    """The process, and its resident megabytes when it has imported prometheus_client alone."""
    with start("_memory_run") as process:
        one = Server(process)
        yield one, one.answers()


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    requests = 20_000 if quick else 1_000_000
    with server() as (one, baseline_mb):
        started_mb = one.does("start")
        load_mb = one.does(f"load {WARM_UP // 2}")
        warm_mb = one.does(f"batches {WARM_UP}")
        half_mb = one.does(f"batches {requests // 2}")
        whole_mb = one.does(f"batches {requests // 2}")
    with server() as (one, _):
        one.does("start")
        tight_warm_mb = one.does(f"batches {WARM_UP}")
        one.does(f"tight {requests}")
        tight_peak_mb = one.peak_mb
        tight_after_mb = one.does("flush")
    return {
        "baseline_mb": baseline_mb,
        "added_mb": started_mb - baseline_mb,
        "added_under_load_mb": load_mb - baseline_mb,
        "requests": requests,
        "growth_mb": whole_mb - warm_mb,
        "growth_second_half_mb": whole_mb - half_mb,
        "tight_loop_peak_growth_mb": max(0.0, tight_peak_mb - tight_warm_mb),
        "tight_loop_growth_mb": tight_after_mb - tight_warm_mb,
    }


if __name__ == "__main__":
    main(__doc__, measure)
