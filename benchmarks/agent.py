"""The host's agent: events a second on a core, what it adds to a request, accuracy, memory."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks._agent_load import Raw, drain, streamed
from benchmarks._report import Report, main
from benchmarks._rig import from_tests, start
from benchmarks._steady import Steady
from inferprint import Config, Tracker

BASE_W = 120.0
REQUEST_W = 40.0
NAME = "Stand-in"
STEP_MS = 100
QUIET_S = 2.0
SHORTEST_S, LONGEST_S = 0.7, 3.0
STARTS_WITHIN_S = 1.5
TICK_S = 0.02
SETTLE_S = 60.0


@contextmanager
def socket_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        yield str(Path(folder) / "agent.sock")


@contextmanager
def steady_agent() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """An agent in a process of its own."""
    with socket_path() as path:
        process = start("_agent_run", path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield path, process
        finally:
            process.communicate()


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the agent's process says of itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def throughput(quick: bool, starts: int, tells: int) -> dict[str, float]:
    """Streamed requests of four workers at half of what a core takes: CPU time by event."""
    ticks = 50 if quick else 250
    with steady_agent() as (path, process):
        raws = [Raw(path) for _ in range(4)]
        before, events, next_s = ask(process), 0, time.monotonic()
        for told in zip(*(streamed(raw, ticks, starts, tells) for raw in raws), strict=True):
            events += sum(told)
            drain(raws)
            next_s += TICK_S
            time.sleep(max(0.0, next_s - time.monotonic()))
        after = ask(process)
        deadline_s = time.monotonic() + SETTLE_S
        while after["settled"] < 4 * ticks * starts and time.monotonic() < deadline_s:
            time.sleep(TICK_S)
            drain(raws)
            after = ask(process)
        for raw in raws:
            raw.close()
    assert after["settled"] == 4 * ticks * starts, after
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return {"events": events, "us": 1e6 * cpu_s / events, "closure": after["closure_error"]}


def memory(quick: bool) -> dict[str, float]:
    """A thousand workers, each with a request in flight, and what the agent's process takes."""
    workers = 200 if quick else 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * workers + 200), hard))
    try:
        with steady_agent() as (path, process):
            before = ask(process)
            raws = [Raw(path) for _ in range(workers)]
            for _ in range(5):
                for raw in raws:
                    raw.tell([raw.start()])
                drain(raws)
                time.sleep(0.2)
            after = ask(process)
            for raw in raws:
                raw.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert after["workers"] == workers
    return {
        "workers": workers,
        "memory_mb": after["rss_mb"],
        "kb_per_worker": 1e3 * (after["rss_mb"] - before["rss_mb"]) / workers,
    }


def call(tracker: Tracker, requests: int) -> float:
    """Microseconds of a request, one after the other."""
    began_s = time.perf_counter()
    for _ in range(requests):
        with tracker.request("m"):
            pass
    return 1e6 * (time.perf_counter() - began_s) / requests


def added(quick: bool) -> dict[str, float]:
    """A request in a worker beside the same in a process that keeps its own books, in turns; both
    are settled between the turns.
    """
    turns, requests = (15, 200) if quick else (101, 500)
    with (
        steady_agent() as (path, _),
        Tracker(Config(agent=path)) as linked,
        Tracker(sources=[Steady()]) as local,
    ):
        found = []
        for _ in range(turns):
            found.append((call(local, requests), call(linked, requests)))
            linked.flush(10)
            local.flush(10)
        cpu_s = time.process_time()
        for _ in range(10):
            call(linked, requests)
            linked.flush(10)
        worker_us = 1e6 * (time.process_time() - cpu_s) / (10 * requests)
    return {
        "request_us": median(one for _, one in found),
        "request_of_local_books_us": median(one for one, _ in found),
        "added_us": median(linked - local for local, linked in found),
        "worker_cpu_us_per_request": worker_us,
    }


def settled_after(quick: bool) -> dict[str, float]:
    """From a request's end to its receipt, in a worker with 20 requests a second."""
    count = 60 if quick else 400
    waits_ms: list[float] = []

    def one(tracker: Tracker) -> None:
        with tracker.request("m") as request:
            time.sleep(random.uniform(0.01, 0.4))
        receipt = request.receipt(timeout=10)
        assert receipt.energy.total_j is not None
        waits_ms.append((time.monotonic_ns() - request._ended_ns) / 1e6)

    with steady_agent() as (path, _), Tracker(Config(agent=path)) as tracker:
        threads = [threading.Thread(target=one, args=(tracker,)) for _ in range(count)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
    return {"settled_p50_ms": median(waits_ms), "settled_p99_ms": quantiles(waits_ms, n=100)[98]}


class Host:
    """An agent on the stand-in GPU, and workers whose requests draw power while they run."""

    def __init__(self, simulator: Any, path: str, workers: int) -> None:
        self._simulator, self._lock = simulator, threading.Lock()
        self._running: set[tuple[int, int]] = set()
        self._since_ns = 0
        self.true_j: dict[tuple[int, int], float] = {}
        self.workers = [start("_agent_worker", path) for _ in range(workers)]
        for worker in self.workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        self._turns = [threading.Lock() for _ in self.workers]

    def run(self, worker: int, number: int, starts_s: float, lasts_s: float) -> None:
        """One request; what it uses in truth is noted."""
        time.sleep(starts_s)
        self._tell(worker, f"begin {number}")
        self._change(lambda: self._running.add((worker, number)))
        time.sleep(lasts_s)
        self._change(lambda: self._running.remove((worker, number)))
        self._tell(worker, f"end {number}")

    def receipts(self) -> dict[tuple[int, int], dict[str, float]]:
        found: dict[tuple[int, int], dict[str, float]] = {}
        for worker in range(len(self.workers)):
            said = json.loads(self._tell(worker, "flush"))
            found |= {(worker, int(number)): one for number, one in said.items()}
        return found

    def close(self) -> None:
        for worker in self.workers:
            worker.communicate()

    def _tell(self, worker: int, line: str) -> str:
        process = self.workers[worker]
        assert process.stdin is not None
        assert process.stdout is not None
        with self._turns[worker]:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return process.stdout.readline()

    def _change(self, change: Any) -> None:
        with self._lock:
            before = set(self._running)
            change()
            watts = BASE_W + REQUEST_W * len(self._running)
            at_ns = self._simulator.set_power(0, watts)
            passed_s = (at_ns - self._since_ns) / 1e9
            for one in before:
                used_j = (REQUEST_W + BASE_W / len(before)) * passed_s
                self.true_j[one] = self.true_j.get(one, 0.0) + used_j
            self._since_ns = at_ns


def overlap(workers: int, requests: int, seed: int) -> dict[str, float]:
    """Overlapping requests of several processes: receipts against what they used in truth."""
    nvml_sim = from_tests("nvml_sim")
    rng = random.Random(seed)
    gpu = nvml_sim.SimGpu(
        power_w=BASE_W, name=NAME, step_ms=STEP_MS, phase_ms=rng.uniform(0, STEP_MS)
    )
    with nvml_sim.Simulator(gpu) as simulator, socket_path() as path:
        settings = {"INFERPRINT_SOURCES": "nvml", "INFERPRINT_IDLE_POLICY": "in_flight"}
        agent = subprocess.Popen(
            [sys.executable, "-m", "inferprint", "agent", "--socket", path, "--beside", "--json"],
            env={**os.environ, **simulator.env, **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert agent.stdout is not None
        assert json.loads(agent.stdout.readline())["listening"] == path
        host = Host(simulator, path, workers)
        time.sleep(QUIET_S)
        threads = [
            threading.Thread(
                target=host.run,
                args=(
                    worker,
                    number,
                    rng.uniform(0, STARTS_WITHIN_S),
                    rng.uniform(SHORTEST_S, LONGEST_S),
                ),
            )
            for worker in range(workers)
            for number in range(requests)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        receipts = host.receipts()
        host.close()
        agent.terminate()
        agent.communicate()
    said = {one: found["total_j"] or 0.0 for one, found in receipts.items()}
    errors = [100 * abs(said[one] / true_j - 1) for one, true_j in host.true_j.items()]
    return {
        "sum_over_truth": sum(said.values()) / sum(host.true_j.values()),
        "median_error_percent": median(errors),
        "worst_error_percent": max(errors),
        "settled_after_ms": max(found["settled_ms"] for found in receipts.values()),
    }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    streams, plain = throughput(quick, 25, 8), throughput(quick, 60, 0)
    report: dict[str, Any] = {
        "streamed_events": streams["events"],
        "streamed_us_per_event": streams["us"],
        "streamed_events_per_core_second": 1e6 / streams["us"],
        "plain_us_per_event": plain["us"],
        "plain_events_per_core_second": 1e6 / plain["us"],
        "closure_error": max(streams["closure"], plain["closure"]),
    }
    report |= added(quick) | settled_after(quick) | memory(quick)
    for workers, requests in ((3, 4), (16, 2)):
        runs = [overlap(workers, requests, seed) for seed in range(1 if quick else 3)]
        worst = max(runs, key=lambda run: run["worst_error_percent"])
        report |= {f"workers_{workers}_{name}": figure for name, figure in worst.items()}
    return report


if __name__ == "__main__":
    main(__doc__, measure)
