"""Whose work a board did: busy seconds of all and of this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from nvml_sim import SimGpu, Simulator, simulated

NOT_SUPPORTED, UNKNOWN = 3, 999
LOOK = "nvmlDeviceGetProcessUtilization"
OTHER_PID = 1


def shares(source: object, seconds: float) -> tuple[float | None, float | None]:
    """Busy and own seconds a second over a time in which the source is read now and then."""
    first = source.read()[0]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.02)
        last = source.read()[0]
    elapsed_s = (last.at_ns - first.at_ns) / 1e9
    busy = None if last.busy_s is None else (last.busy_s - (first.busy_s or 0)) / elapsed_s
    own = None if last.own_s is None else (last.own_s - (first.own_s or 0)) / elapsed_s
    return busy, own


@simulated()
def test_shares_are_what_the_driver_says_of_each_process(sim: Simulator) -> None:
    """60 % of the SMs' time by this process and 30 % by another, from the first window on."""
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 60, OTHER_PID: 30})
    [source], _ = nvml.detect(None)
    busy, own = shares(source, 0.1)
    assert abs(busy - 0.9) < 1e-6
    assert abs(own - 0.6) < 1e-6


@simulated()
def test_a_childs_work_is_own_work(sim: Simulator) -> None:
    """Engines run the model in a child process of the server."""
    from inferprint.sources import nvml

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        sim.set_processes(0, {child.pid: 40, OTHER_PID: 20})
        [source], _ = nvml.detect(None)
        busy, own = shares(source, 0.1)
        child.communicate(b"\n")
    assert abs(busy - 0.6) < 1e-6
    assert abs(own - 0.4) < 1e-6


@simulated()
def test_a_change_is_seen_at_the_next_look(sim: Simulator) -> None:
    """Looks are a second apart; an idle board, for which there are no samples, is idle."""
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 100})
    [source], _ = nvml.detect(None)
    source.read()
    sim.set_processes(0, {})
    time.sleep(1.05)
    source.read()
    assert shares(source, 0.1) == (0.0, 0.0)
    assert sim.calls(LOOK) <= 6


@simulated()
def test_a_pid_that_is_not_recognised_leaves_the_share_unknown(sim: Simulator) -> None:
    """In a container NVML tells the host's pids: own is then unknown, not 0."""
    from inferprint.sources import host, nvml

    sim.set_processes(0, {OTHER_PID: 50})
    host.HOST_PID_NAMESPACE = 0  # no namespace has this inode: as in any container
    [source], _ = nvml.detect(None)
    busy, own = shares(source, 0.05)
    assert abs(busy - 0.5) < 1e-6
    assert own is None


@simulated()
def test_a_container_whose_pids_are_told_has_its_share(sim: Simulator) -> None:
    """Seeing its own pid among the samples once is proof enough."""
    from inferprint.sources import host, nvml

    sim.set_processes(0, {os.getpid(): 25, OTHER_PID: 50})
    host.HOST_PID_NAMESPACE = 0
    [source], _ = nvml.detect(None)
    busy, own = shares(source, 0.05)
    assert abs(busy - 0.75) < 1e-6
    assert abs(own - 0.25) < 1e-6


@simulated()
def test_nonsense_from_the_driver_is_left_out(sim: Simulator) -> None:
    """Drivers have been seen to fill samples with pid 0 and utilisations of 37100 %."""
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 10, 0: 50, 50554: 37_100})
    [source], _ = nvml.detect(None)
    busy, _ = shares(source, 0.05)
    assert abs(busy - 0.1) < 1e-6


@simulated()
def test_a_driver_that_does_not_tell_is_asked_once(sim: Simulator) -> None:
    """Not supported stays so: nothing is known, and nothing more is asked."""
    from inferprint.sources import nvml

    sim.fail(LOOK, NOT_SUPPORTED, gpu=0)
    [source], _ = nvml.detect(None)
    assert shares(source, 1.2) == (None, None)
    assert sim.calls(LOOK) == 1


@simulated()
def test_a_look_that_fails_is_unknown_until_the_next(sim: Simulator) -> None:
    """It fails no reading of energy, and the last rate is not held on."""
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 50})
    sim.fail(LOOK, UNKNOWN, gpu=0)
    [source], _ = nvml.detect(None)
    assert shares(source, 0.05) == (None, None)
    sim.fail(LOOK, 0, gpu=0)
    time.sleep(1.0)
    source.read()
    busy, own = shares(source, 0.05)
    assert abs(busy - 0.5) < 1e-6
    assert abs(own - 0.5) < 1e-6


@simulated()
def test_a_slow_look_is_taken_rarely(sim: Simulator) -> None:
    """Past 2 ms twice in a row, the next waits ten seconds: it must not disturb."""
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 50})
    sim.slow(LOOK, 0.003)
    [source], _ = nvml.detect(None)
    shares(source, 2.3)
    assert sim.calls(LOOK) == 4  # two looks: once for the size, once for the samples


@simulated(SimGpu(), SimGpu())
def test_no_share_is_held_over_a_time_without_readings(sim: Simulator) -> None:
    """While a board was lost nobody knows whose work it did: that time adds no seconds."""
    from inferprint.errors import ReadingError
    from inferprint.sources import nvml

    sim.set_processes(0, {os.getpid(): 100})
    [source, _], _ = nvml.detect(None)
    before = source.read()[0]
    sim.lose(0)
    with pytest.raises(ReadingError):
        source.read()
    sim.find(0)
    time.sleep(0.2)
    after = source.read()[0]
    assert after.busy_s - before.busy_s < 0.1


@simulated()
def test_a_forked_process_counts_its_own_work(sim: Simulator) -> None:
    """After a fork the parent's work is another process's."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    source.read()
    child = os.fork()
    if not child:
        status = 1
        try:
            sim.set_processes(0, {os.getppid(): 60, os.getpid(): 30})
            status = 0 if abs(shares(source, 0.05)[1] - 0.3) < 1e-6 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
