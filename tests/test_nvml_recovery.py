"""The NVML source when boards, drivers and processes go and come back."""

from __future__ import annotations

import os
import time

import pytest

from nvml_sim import SimGpu, Simulator, simulated

NO_PERMISSION, TIMEOUT = 4, 10
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"


def kind_of_fault(source: object) -> str:
    """Reads, and gives the kind of the error; empty where there was none."""
    from inferprint.errors import ReadingError

    try:
        source.read()
    except ReadingError as error:
        return error.kind
    return ""


def wait_until_read(*sources: object) -> None:
    """Reads all until all can be read, as a sampler does."""
    deadline = time.monotonic() + 5
    while [kind for source in sources if (kind := kind_of_fault(source))]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@simulated(SimGpu(step_ms=0), SimGpu())
def test_a_lost_board_raises_and_comes_back(sim: Simulator) -> None:
    """Each reading fails while it is lost, at most one a second asks the driver; it recovers."""
    from inferprint.sources import nvml

    [source, other], _ = nvml.detect(None)
    source.read()
    sim.lose(0)
    starts, began = sim.calls("nvmlInitWithFlags"), time.monotonic()
    while time.monotonic() - began < 1.3:
        assert kind_of_fault(source) == "lost"
        assert kind_of_fault(other) == ""
        time.sleep(0.01)
    assert 2 <= sim.calls("nvmlInitWithFlags") - starts <= 3
    sim.find(0)
    wait_until_read(source)
    before_j = sim.true_energy_j(0)
    assert before_j - 0.001 <= source.read()[0].energy_j <= sim.true_energy_j(0)


@simulated(SimGpu())
def test_a_slip_is_mended_at_the_next_reading(sim: Simulator) -> None:
    """The first attempt to come back does not wait for its second."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    sim.fail(ENERGY, TIMEOUT, gpu=0)
    assert kind_of_fault(source) == "timeout"
    sim.fail(ENERGY, 0, gpu=0)
    assert kind_of_fault(source) == ""


@simulated(SimGpu())
def test_a_permission_that_is_withdrawn_is_named(sim: Simulator) -> None:
    """The error names the board and the command that mends it."""
    from inferprint.errors import ReadingError
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    sim.fail(ENERGY, NO_PERMISSION, gpu=0)
    with pytest.raises(ReadingError, match=f"{sim.uuid(0)}.*sudo chmod") as caught:
        source.read()
    assert caught.value.kind == "permission"


@simulated(SimGpu(step_ms=0, counter_j=1e6), SimGpu(step_ms=0, counter_j=1e6))
def test_a_reloaded_driver_is_read_again_from_its_new_zero(sim: Simulator) -> None:
    """Both boards' handles are stale; both come back, and their counters begin anew."""
    from inferprint.sources import nvml

    sources, _ = nvml.detect(None)
    for source in sources:
        assert source.read()[0].energy_j >= 1e6
    sim.unload_driver()
    assert [kind_of_fault(source) for source in sources] == ["driver", "driver"]
    assert [kind_of_fault(source) for source in sources] == ["driver", "driver"]
    sim.load_driver()
    wait_until_read(*sources)
    for source in sources:
        assert source.read()[0].energy_j < 1000
        source.close()


@simulated(SimGpu(power_w=300.0, step_ms=0))
def test_a_child_process_opens_nvml_for_itself(sim: Simulator) -> None:
    """What it inherits is not used, and not shut down either: its parent reads on."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    source.read()
    starts, stops = sim.calls("nvmlInitWithFlags"), sim.calls("nvmlShutdown")
    child = os.fork()
    if not child:
        status = 1
        try:
            source.read()
            started = sim.calls("nvmlInitWithFlags") - starts
            kept = sim.calls("nvmlShutdown") == stops
            source.close()
            status = 0 if started == 1 and kept else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert source.read()[0].energy_j <= sim.true_energy_j(0)


@simulated(SimGpu())
def test_a_child_that_never_read_shuts_nothing_down(sim: Simulator) -> None:
    """Closing an inherited source leaves the parent's NVML alone."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    stops = sim.calls("nvmlShutdown")
    child = os.fork()
    if not child:
        try:
            source.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert sim.calls("nvmlShutdown") == stops


@simulated(SimGpu(power_w=100.0, step_ms=0))
def test_a_slow_driver_does_not_shift_the_instant(sim: Simulator) -> None:
    """The instant is from before the call, so the energy belongs to it or to just after."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    sim.slow(ENERGY, 0.05)
    [reading] = source.read()
    assert time.monotonic_ns() - reading.at_ns >= 50_000_000
