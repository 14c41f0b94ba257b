"""The benchmarks run, print what their page says, and hold the limits that are ratios.

A limit is held by the best of a few runs: noise only ever makes a figure worse, and a
regression makes all of them worse.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from benchmark_runs import documented, report_of, require_compiler
from prometheus_server import INSTALL
from support import REPO, require_module, require_program, run_python

pytestmark = pytest.mark.alone

ATTEMPTS = 3
MOST_OVER_BARE_LOOP = 8
MOST_OVER_FIXED_LOOP = 16
# 20 us is eight times what a histogram takes in the same run, on a slow machine and a fast one.
MOST_FOOTPRINT_OVER_HISTOGRAM = 15


def holds(name: str, check: Callable[[dict[str, Any]], None]) -> None:
    """One of a few runs passes the check."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(AssertionError):
            return check(report_of(name))
    return check(report_of(name))


def test_every_benchmark_is_tested() -> None:
    """A benchmark that is added without a test fails here."""
    names = {path.stem for path in (REPO / "benchmarks").glob("[!_]*.py")}
    light = {"agent", "fleet", "imports", "memory", "overhead", "overlap", "proxy", "sampler"}
    assert names == light | {"dashboards", "report", "serving", "window"}


@pytest.mark.timeout(300)
def test_a_tracked_call_costs_no_more_than_a_histogram() -> None:
    """Decorated, at most 1.0 times ``Histogram.time()`` on the same call; in a ``with``, where
    the two are nearly alike, at most 1.3 times; with 10,000 requests in flight at most 1.2
    times as much as with none. ``add_tokens`` takes at most five looks at the clock.
    """

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("overhead")
        # On the caller's CPU clock: by the wall's it is what else runs that decides.
        assert report["tracked_call_cpu_over_histogram"] <= 1.0, report
        assert report["with_over_histogram"] <= 1.3, report
        assert report["with_10000_in_flight_over_none"] <= 1.2, report
        assert report["add_tokens_us"] <= 5 * report["perf_counter_ns_us"], report
        assert report["footprint_us"] <= MOST_FOOTPRINT_OVER_HISTOGRAM * report["histogram_us"]
        assert report["all_in_cpu_us_per_request"] > 0, report

    holds("overhead", check)


@pytest.mark.timeout(300)
def test_the_agent_is_light_and_charges_each_process_its_own() -> None:
    """Requests of 3 and of 16 processes that overlap on one GPU are charged what each drew: the sum
    to 2 %, each to 10 %. A request in a worker takes no more than 1.5 us longer than one with books
    of its own; a connected worker takes less than 200 kB of the agent, and the books close.
    """
    require_compiler()

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("agent")
        for workers in (3, 16):
            assert abs(report[f"workers_{workers}_sum_over_truth"] - 1) <= 0.02, report
            assert report[f"workers_{workers}_worst_error_percent"] <= 10, report
        assert report["added_us"] <= 1.5, report
        assert report["kb_per_worker"] <= 200, report
        assert report["closure_error"] <= 1e-9, report
        assert 0 < report["streamed_us_per_event"] < report["plain_us_per_event"], report

    holds("agent", check)


def test_the_import_is_light() -> None:
    """At most 30 ms more than prometheus_client, and no table, model or web library."""

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("imports")
        assert report["difference_ms"] <= 30, report
        assert report["heavy_modules"] == []

    holds("imports", check)


@pytest.mark.timeout(300)
def test_the_sampler_is_light() -> None:
    """Eight GPUs and RAPL take at most 30 reads a second of each GPU, and a bounded multiple of
    a loop that reads the same ten times a second and does nothing with what it reads.
    """
    require_compiler()

    def check(report: dict[str, Any]) -> None:
        assert set(report) == {"step_20ms", "step_100ms"}
        for figures in report.values():
            assert set(figures) == documented("sampler")
            assert 10 <= figures["nvml_reads_per_gpu_per_s"] <= 30, report
            assert figures["sampler_over_bare_loop"] <= MOST_OVER_BARE_LOOP, report

    holds("sampler", check)


@pytest.mark.timeout(300)
def test_a_window_of_a_thousand_events_is_closed_quickly() -> None:
    """With learned weights and intervals it takes a bounded multiple of a fixed loop, and the
    books close.
    """

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("window")
        assert 0 < report["books_over_loop"] <= MOST_OVER_FIXED_LOOP, report
        assert report["closure_error"] <= 1e-9, report

    holds("window", check)


def test_a_host_of_a_fleet_is_counted() -> None:
    """Its series and bytes are bounded, as the page on fleets takes them to be."""

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("fleet")
        assert 0 < report["series"] <= 400, report
        assert 0 < report["store_bytes_per_receipt"] <= 1_000, report

    holds("fleet", check)


@pytest.mark.timeout(300)
def test_memory_is_small_and_flat() -> None:
    """A running tracker with the Prometheus exporter and a location adds at most 20 MB, at
    2,000 requests a second too, and 20,000 more requests in batches add less than 2 MB.
    """

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("memory")
        assert 0 < report["added_mb"] <= 20, report
        assert report["added_under_load_mb"] <= 20, report
        assert report["growth_mb"] < 2, report

    holds("memory", check)


@pytest.mark.timeout(300)
def test_the_proxy_is_light() -> None:
    """A body of 100 MB goes through in less than 30 MB each way, and requests leave nothing.

    Times are not held here: those of a machine that does other work at the same time say nothing.
    """

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("proxy")
        assert 0 < report["large_request_mb"] < 30, report
        assert 0 < report["large_reply_mb"] < 30, report
        assert report["growth_mb"] < 5, report
        assert report["per_core_second"] > 100, report

    holds("proxy", check)


@pytest.mark.real
@pytest.mark.timeout(300)
def test_dashboards_answer_at_once() -> None:
    """Every query of every panel, on two hours of a fleet, takes at most a second, and all rules
    together at most a third of the minute that they have.
    """
    require_program("prometheus", INSTALL)

    def check(report: dict[str, Any]) -> None:
        assert {name for group in report.values() for name in group} == documented("dashboards")
        shown = [group for name, group in report.items() if name.startswith("inferprint-")]
        assert len(shown) == 4
        assert all(group["slowest_ms"] <= 1000 for group in shown), report
        assert report["rules"]["all_ms"] <= 20_000, report

    holds("dashboards", check)


GROUPS = {"a": {"x_ms": 1.0}, "b": {"x_ms": 22.0, "y": 3}}


@pytest.mark.parametrize(
    ("report", "table"),
    [
        ({"one_us": 0.5, "names": []}, "one_us  0.500\nnames    none\n"),
        (GROUPS, "     x_ms  y\na   1.000   \nb  22.000  3\n"),
    ],
)
def test_a_report_is_a_table_for_people(report: dict[str, Any], table: str) -> None:
    """Figures one below the other; groups of figures one below the other, in columns."""
    script = f"from benchmarks._report import table; print(table({report!r}))"
    assert run_python("-c", script).stdout == table


@pytest.mark.real
@pytest.mark.timeout(400)
def test_a_server_is_as_fast_with_tracking() -> None:
    """A quick run says all that its page says; how much is lost only a full run can tell, so
    here it is held that no large part of the CPU's time goes to tracking.
    """
    require_module("transformers", "pip install 'inferprint[large]'")

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("serving")
        assert report["cpu_tracked_over_untracked"] <= 1.2, report

    holds("serving", check)


def test_a_report_is_quick() -> None:
    """The whole command in 2 s; the full benchmark has a million receipts, this one a part of
    them, and what is read is as much.
    """

    def check(report: dict[str, Any]) -> None:
        assert set(report) == documented("report")
        assert report["command_s"] <= 2.0, report
        assert report["report_s"] < report["command_s"], report

    holds("report", check)
