"""The CPU model: its curve, its TDP table, what it says of itself, and its joules."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.sources import PowerSource
from inferprint.sources.cpu_model import (
    CURVE,
    CURVE_ERROR,
    GUESS_ERROR,
    CpuModelSource,
    Rating,
    rate,
    share_of_tdp,
)
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.host import Host
from inferprint.sources.tdp import lookup_tdp_w, tdp_table
from inferprint.testing import FakeClock
from support import run_python

SERVER = Host("Linux", "AMD EPYC 7763 64-Core Processor", 2, 256, virtual=False, container=False)
TABLE = tdp_table()


class Cpus:
    """CPU times that advance as told."""

    def __init__(self, clock: FakeClock, threads: int) -> None:
        self._clock = clock
        self._threads = threads
        self._now = CpuTimes(0.0, 0.0, 0.0)

    def run(self, seconds: float, utilisation: float, own_s: float = 0.0) -> None:
        self._clock.advance(seconds)
        total_s = seconds * self._threads
        self._now = CpuTimes(
            self._now.busy_s + total_s * utilisation,
            self._now.total_s + total_s,
            self._now.own_s + own_s,
        )

    def times(self) -> CpuTimes:
        return self._now


class Bench:
    """A source of 100 W TDP a package, on CPUs that advance as told."""

    def __init__(self, host: Host) -> None:
        self.clock = FakeClock()
        self.cpus = Cpus(self.clock, host.threads)
        rating = Rating(100.0, CURVE_ERROR, "made up")
        self.source = CpuModelSource(host, rating, self.cpus.times, self.clock.now_ns)

    def joules(self) -> float:
        return self.source.read()[0].energy_j


@pytest.fixture
def bench() -> Bench:
    return Bench(replace(SERVER, packages=1, threads=4))


@pytest.mark.parametrize(
    ("utilisation", "share"),
    [(0.0, 0.12), (0.05, 0.22), (0.1, 0.32), (0.5, 0.75), (0.75, 0.885), (1.0, 1.02)],
)
def test_the_curve_has_its_published_points(utilisation: float, share: float) -> None:
    """The points of Davy (2021), and straight lines in between."""
    assert share_of_tdp(utilisation) == pytest.approx(share)


@given(st.floats(-1.0, 2.0), st.floats(-1.0, 2.0))
def test_more_work_never_draws_less(one: float, other: float) -> None:
    """The curve rises from idle to full, and what is outside 0 to 1 is cut off."""
    low, high = sorted((one, other))
    assert 0.12 <= share_of_tdp(low) <= share_of_tdp(high) <= 1.02 + 1e-12


def test_the_curve_error_covers_a_straight_line() -> None:
    """The stated half-width holds the other common model, idle to full in one line."""
    idle, full = CURVE[0][1], CURVE[-1][1]
    line = [idle + (full - idle) * step / 100 for step in range(101)]
    worst = max(abs(1 - line[step] / share_of_tdp(step / 100)) for step in range(101))
    assert 0.34 < worst < CURVE_ERROR


def test_energy_is_power_by_time(bench: Bench) -> None:
    """Idle for 10 s, half busy for 10 s: 12 W and 75 W of a TDP of 100 W."""
    bench.cpus.run(10.0, utilisation=0.0)
    idle_j = bench.joules()
    bench.cpus.run(10.0, utilisation=0.5)
    assert idle_j == pytest.approx(120.0)
    assert bench.joules() - idle_j == pytest.approx(750.0)


def test_readings_say_that_they_are_modelled(bench: Bench) -> None:
    """Every reading carries its provenance, the clock's instant and whose work it was."""
    bench.cpus.run(2.0, utilisation=0.5, own_s=3.0)
    reading = bench.source.read()[0]
    assert reading.provenance == "modelled"
    assert reading.at_ns == bench.clock.now_ns()
    assert (reading.busy_s, reading.own_s) == (4.0, 3.0)


def test_idle_watts_are_declared(bench: Bench) -> None:
    """What the model holds for idle is known beforehand, so that active is what is above it."""
    device = bench.source.devices()[0]
    bench.cpus.run(1.0, utilisation=0.0)
    assert isinstance(bench.source, PowerSource)
    assert device.idle_w == pytest.approx(bench.joules()) == pytest.approx(12.0)
    assert device.relative_error == CURVE_ERROR


def test_a_long_time_without_readings_is_covered(bench: Bench) -> None:
    """The CPU times go on while nobody looks: an hour's energy is that of its mean load."""
    bench.cpus.run(3600.0, utilisation=0.1)
    assert bench.joules() == pytest.approx(32.0 * 3600)


def test_between_two_ticks_the_last_utilisation_stands(bench: Bench) -> None:
    """A read so soon that no tick has passed takes neither idle nor full for granted."""
    bench.cpus.run(1.0, utilisation=0.5)
    before = bench.joules()
    bench.clock.advance(0.005)
    assert bench.joules() - before == pytest.approx(75.0 * 0.005)


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 1.0)), max_size=20))
def test_energy_never_falls_and_stays_between_idle_and_full(
    loads: list[tuple[float, float]],
) -> None:
    """Whatever the load does, every span costs at least idle and at most full power."""
    bench, elapsed_s, readings = Bench(replace(SERVER, packages=1, threads=4)), 0.0, [0.0]
    for seconds, utilisation in loads:
        bench.cpus.run(seconds, utilisation)
        elapsed_s = bench.clock.now_ns() / 1e9
        readings.append(bench.joules())
    assert all(earlier <= later for earlier, later in pairwise(readings))
    assert 12.0 * elapsed_s - 1e-6 <= readings[-1] <= 102.0 * elapsed_s + 1e-6


def test_packages_share_the_load_evenly() -> None:
    """Each package is a device with the same joules, since the load of one is not known."""
    bench = Bench(SERVER)
    bench.cpus.run(1.0, utilisation=1.0)
    readings = {reading.device_id: reading.energy_j for reading in bench.source.read()}
    assert readings == pytest.approx({"cpu:package-0": 102.0, "cpu:package-1": 102.0})


def test_the_finding_names_the_watts_and_their_source() -> None:
    """What is modelled is said with idle and full watts, the error and where they come from."""
    source = CpuModelSource(SERVER, rate(SERVER, TABLE))
    findings = source.findings()
    assert [finding.device for finding in findings] == ["cpu:package-0", "cpu:package-1"]
    assert {finding.status for finding in findings} == {"modelled"}
    for part in ("33.6 W idle", "286 W full", "± 35%", "280 W", "codecarbon"):
        assert part in findings[0].why


def test_a_cpu_in_the_table_has_its_tdp() -> None:
    """On bare metal the TDP of the whole package is taken."""
    rating = rate(SERVER, TABLE)
    assert (rating.tdp_w, rating.relative_error) == (280.0, CURVE_ERROR)


def test_a_name_that_is_not_in_the_table_is_a_stated_guess() -> None:
    """Some VMs say just `AMD EPYC`: 4 W for each logical CPU, with a wide error, and said so."""
    rating = rate(Host("Linux", "AMD EPYC", 1, 2, virtual=True, container=True), TABLE)
    assert (rating.tdp_w, rating.relative_error) == (8.0, GUESS_ERROR)
    assert "guess" in rating.basis


def test_the_guess_is_for_one_package() -> None:
    """256 logical CPUs on two packages are 512 W each."""
    assert rate(SERVER, None).tdp_w == 512.0


def test_a_vm_is_not_charged_a_whole_package() -> None:
    """Two logical CPUs of an EPYC 7763 are 8 W, not 280; 128 are no more than the 280."""
    small = replace(SERVER, packages=1, threads=2, virtual=True)
    assert rate(small, TABLE).tdp_w == 8.0
    assert rate(replace(small, threads=128), TABLE).tdp_w == 280.0
    assert "VM" in rate(small, TABLE).basis


def test_without_a_table_the_guess_says_so() -> None:
    """Codecarbon can be absent: the guess names that reason."""
    assert "no TDP table" in rate(SERVER, None).basis


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("AMD EPYC 7763 64-Core Processor", 280.0),
        ("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", 205.0),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", 145.0),
        ("Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz", 65.0),
        ("11th Gen Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", 28.0),
        ("AMD Ryzen 7 5800H with Radeon Graphics", 45.0),
        ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", 280.0),
        ("AMD EPYC", None),
        ("AMD EPYC-Milan Processor", None),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", None),
        ("Intel Xeon Processor (Skylake, IBRS)", None),
        ("Intel(R) Xeon(R) Platinum 9999Z", None),
        ("unknown CPU", None),
        ("", None),
    ],
)
def test_names_are_found_as_the_kernel_writes_them(name: str, watts: float | None) -> None:
    """Marks, clocks and core counts are dropped; a family's name matches nothing."""
    assert TABLE is not None
    assert lookup_tdp_w(name, TABLE) == watts


def test_the_table_is_found_without_loading_pandas() -> None:
    """Looking a TDP up loads neither codecarbon nor pandas into a serving process."""
    script = (
        "import sys; from inferprint.sources import tdp;"
        "print(tdp.lookup_tdp_w('AMD EPYC 7763', tdp.tdp_table()), *sys.modules)"
    )
    result = run_python("-c", script)
    assert result.returncode == 0, result.stderr
    watts, *modules = result.stdout.split()
    assert watts == "280.0"
    assert {"codecarbon", "pandas", "numpy"}.isdisjoint(modules)


def test_a_table_may_list_a_name_twice(tmp_path: Path) -> None:
    """The first row wins, and rows that only share the last word do not match."""
    table = tmp_path / "cpu_power.csv"
    table.write_text("Name,TDP\nIntel Xeon 7,11\nIntel Core 7,22\nIntel Core 7,33\n")
    assert lookup_tdp_w("Intel(R) Core(TM) 7", table) == 22.0


def test_cpu_times_count_work_and_this_process() -> None:
    """A busy loop shows as busy time of the host and as this process's own."""
    before, deadline = cpu_times(), time.monotonic() + 0.2
    while time.monotonic() < deadline:
        pass
    after = cpu_times()
    assert after.own_s - before.own_s > 0.02
    assert after.busy_s > before.busy_s
    assert after.total_s - before.total_s >= after.busy_s - before.busy_s - 1e-6


def test_no_kind_of_cpu_time_is_left_out() -> None:
    """Busy and not busy are all that the kernel counts; guests' time is in user's already."""
    times = psutil.cpu_times()
    guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    assert cpu_times().total_s == pytest.approx(sum(times) - guests_s, abs=1.0)


def test_the_model_runs_on_this_machine() -> None:
    """With the real clock and the real CPU times, a busy loop draws more than idle."""
    source = CpuModelSource(SERVER, Rating(100.0, 0.35, "made up"))
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        pass
    (reading, _) = source.read()
    assert reading.energy_j > 12.0 * 0.2
