"""What a tracked call costs, beside prometheus_client's ``Histogram.time()`` on the same call."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from prometheus_client import CollectorRegistry, Histogram

from benchmarks._report import Report, main
from benchmarks._turns import Taken, Turn, in_turns
from inferprint import Factor, Range, Request, Tracker
from inferprint.factors import Factors
from inferprint.footprint import footprint
from inferprint.hardware import Hardware
from inferprint_exporters.prometheus import PrometheusExporter

IN_FLIGHT = 10_000
MODEL = "m"
FLUSH_S = 30.0
PACE_PER_S = 2_000
TICK_S = 0.01


def no_op() -> None:
    """The call that is tracked and timed."""


class Crowd:
    """Requests that stay in flight, each opened in a context of its own."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._open: list[tuple[contextvars.Context, Request]] = []

    def enter(self) -> None:
        """Opens them, and waits until the tracker has taken them in."""
        for _ in range(IN_FLIGHT):
            context, request = contextvars.copy_context(), self._tracker.request(MODEL)
            context.run(request.__enter__)
            self._open.append((context, request))
        self._tracker.flush(FLUSH_S)

    def leave(self) -> None:
        """Ends them, and waits until they are settled."""
        for context, request in self._open:
            context.run(request.__exit__, None, None, None)
        self._open.clear()
        self._tracker.flush(FLUSH_S)


def on_path(tracker: Tracker, histogram: Histogram, quick: bool) -> Taken:
    """The caller's own time; what turns leave to settle is settled between them."""

    def settle() -> None:
        tracker.flush(FLUSH_S)

    crowd = Crowd(tracker)
    timed = {"call": histogram.time()(no_op)}
    tracked = {"call": tracker.track(model=MODEL)(no_op)}
    with_timed = {"time": histogram.time, "call": no_op}
    with_tracked = {"request": tracker.request, "call": no_op}
    turns = {
        "histogram": Turn("call()", timed),
        "tracked": Turn("call()", tracked, after=settle),
        "with_histogram": Turn("with time(): call()", with_timed),
        "with": Turn("with request('m'): call()", with_tracked, after=settle),
        "crowded": Turn("call()", tracked, before=crowd.enter, after=crowd.leave),
        "histogram_cpu": Turn("call()", timed, cpu=True),
        "tracked_cpu": Turn("call()", tracked, after=settle, cpu=True),
    }
    return in_turns(turns, calls=5_000, rounds=5 if quick else 15)


def small_calls(tracker: Tracker, quick: bool) -> Taken:
    """``add_tokens`` of a request in flight, and a look at the clock."""
    with tracker.request(MODEL) as request:
        turns = {
            "add_tokens": Turn("add_tokens(output=1)", {"add_tokens": request.add_tokens}),
            "perf_counter_ns": Turn("clock()", {"clock": time.perf_counter_ns}),
        }
        return in_turns(turns, calls=50_000, rounds=5 if quick else 25)


def small_footprint(quick: bool) -> Taken:
    """What a receipt's joules and seconds mean, with every factor known; off the request's path."""
    second = Range.within(1e-3, 0.2)
    hardware = Hardware(second, second, second, second)
    names = (
        *("carbon_intensity", "pue", "electricity_price", "wue_site"),
        *("water_grid", "adpe_grid", "primary_energy_grid"),
    )
    known: dict[str, Any] = {
        name: Factor(name, 1.5, "", "made up", low=1.25, high=1.75) for name in names
    }
    factors = Factors(**known, currency="EUR", hardware=hardware)
    call = partial(footprint, Range(90.0, 100.0, 110.0), factors, 0.3)
    turns = {"footprint": Turn("call()", {"call": call})}
    return in_turns(turns, calls=2_000, rounds=5 if quick else 25)


def tight_loop(tracker: Tracker, histogram: Histogram, quick: bool) -> Taken:
    """Calls without a pause, which the settlement of those before competes with."""
    turns = {
        "histogram": Turn("call()", {"call": histogram.time()(no_op)}),
        "tracked": Turn(
            "call()",
            {"call": tracker.track(model=MODEL)(no_op)},
            after=lambda: tracker.flush(FLUSH_S),
        ),
    }
    return in_turns(turns, calls=50_000, rounds=2 if quick else 7)


def paced_cpu_s(call: Callable[[], object], settle: Callable[[], object], seconds: float) -> float:
    """CPU seconds of the whole process while it is called ``PACE_PER_S`` times a second."""
    began_s = time.process_time()
    next_s = time.monotonic()
    for _ in range(round(seconds / TICK_S)):
        for _ in range(round(PACE_PER_S * TICK_S)):
            call()
        next_s += TICK_S
        time.sleep(max(0.0, next_s - time.monotonic()))
    settle()
    return time.process_time() - began_s


def all_in(tracker: Tracker, exporting: Tracker, histogram: Histogram, quick: bool) -> Report:
    """CPU time that a call adds to the process, all threads and the settlement included.

    Both trackers run all the time, so that what they take without requests is in no figure.
    """
    seconds, rounds = (0.5, 3) if quick else (2.0, 9)
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "no_op": (no_op, lambda: None),
        "histogram": (histogram.time()(no_op), lambda: None),
        "tracked": (tracker.track(model=MODEL)(no_op), lambda: tracker.flush(FLUSH_S)),
        "exported": (exporting.track(model=MODEL)(no_op), lambda: exporting.flush(FLUSH_S)),
    }
    added_us: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        cpu_s = {name: paced_cpu_s(*pair, seconds) for name, pair in calls.items()}
        for name, taken_s in cpu_s.items():
            added_us[name].append((taken_s - cpu_s["no_op"]) / (PACE_PER_S * seconds) * 1e6)
    return {
        "histogram_all_in_cpu_us_per_request": median(added_us["histogram"]),
        "all_in_cpu_us_per_request": median(added_us["tracked"]),
        "all_in_with_prometheus_cpu_us_per_request": median(added_us["exported"]),
    }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    with Tracker() as tracker:
        histogram = Histogram("call_seconds", "Calls.", registry=CollectorRegistry())
        path = on_path(tracker, histogram, quick)
        small = small_calls(tracker, quick)
        tight = tight_loop(tracker, histogram, quick)
        with Tracker(exporters=[PrometheusExporter()]) as exporting:
            paced = all_in(tracker, exporting, histogram, quick)
    return {
        "histogram_us": path.us("histogram"),
        "tracked_call_us": path.us("tracked"),
        "tracked_call_over_histogram": path.ratio("tracked", "histogram"),
        "with_us": path.us("with"),
        "with_over_histogram": path.ratio("with", "with_histogram"),
        "tracked_call_cpu_us": path.us("tracked_cpu"),
        "tracked_call_cpu_over_histogram": path.ratio("tracked_cpu", "histogram_cpu"),
        "with_10000_in_flight_us": path.us("crowded"),
        "with_10000_in_flight_over_none": path.ratio("crowded", "tracked"),
        "with_10000_in_flight_over_histogram": path.ratio("crowded", "histogram"),
        "tight_loop_over_histogram": tight.ratio("tracked", "histogram"),
        "add_tokens_us": small.us("add_tokens"),
        "footprint_us": small_footprint(quick).us("footprint"),
        "perf_counter_ns_us": small.us("perf_counter_ns"),
        **paced,
    }


if __name__ == "__main__":
    main(__doc__, measure)
