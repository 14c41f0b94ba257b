"""The stand-in library itself, by the real pynvml: tests that rest on it rest on these."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nvml_sim import SimGpu, Simulator, simulated

STEP_S = 0.02


def opened() -> tuple[Any, Any]:
    """pynvml, initialised, and the handle of the first board."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)


@simulated(SimGpu(power_w=250.0, step_ms=0))
def test_a_change_of_power_is_seen_at_once(sim: Simulator) -> None:
    """What NVML says of power and energy follows the controller, to the counter's millijoule."""
    nvml, board = opened()
    instant = nvml.NVML_FI_DEV_POWER_INSTANT
    assert nvml.nvmlDeviceGetFieldValues(board, [instant])[0].value.uiVal == 250_000
    sim.set_power(0, 700.0)
    assert nvml.nvmlDeviceGetFieldValues(board, [instant])[0].value.uiVal == 700_000
    time.sleep(0.05)
    before_j = sim.true_energy_j(0)
    counter_j = nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000
    assert before_j - 0.001 <= counter_j <= sim.true_energy_j(0)


@simulated(SimGpu(power_w=1000.0, step_ms=1000 * STEP_S, phase_ms=7.0))
def test_the_counter_stands_still_between_its_steps(sim: Simulator) -> None:
    """It shows the true energy of its latest step, through several changes of power."""
    nvml, board = opened()
    step_ns, phase_ns = round(STEP_S * 1e9), 7_000_000
    seen = set()
    began = time.monotonic()
    for index in range(400):
        if index % 50 == 25:
            sim.set_power(0, 1000.0 + index)
        before_ns = time.monotonic_ns()
        counter_j = nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000
        steps = [t - (t - phase_ns) % step_ns for t in (before_ns, time.monotonic_ns())]
        truths = [max(0.0, sim.true_energy_j(0, at_ns)) for at_ns in steps]
        assert truths[0] - 0.001 <= counter_j <= truths[1] + 1e-9
        seen.add(counter_j)
        time.sleep(0.001)
    assert 10 <= len(seen) <= (time.monotonic() - began) / STEP_S + 2


@simulated(SimGpu(power_w=100.0))
def test_power_usage_is_the_mean_of_a_second(sim: Simulator) -> None:
    """200 ms after a step from 100 to 600 W, a fifth of the step is to be seen."""
    nvml, board = opened()
    assert nvml.nvmlDeviceGetPowerUsage(board) == 100_000
    changed_ns = sim.set_power(0, 600.0)
    time.sleep(0.2)
    low_w = 100 + 500 * (time.monotonic_ns() - changed_ns) / 1e9
    mean_w = nvml.nvmlDeviceGetPowerUsage(board) / 1000
    high_w = 100 + 500 * (time.monotonic_ns() - changed_ns) / 1e9
    assert low_w - 0.001 <= mean_w <= high_w


@simulated(SimGpu(power_w=100.0, step_ms=0))
def test_no_change_of_power_is_forgotten(sim: Simulator) -> None:
    """More changes than the library remembers leave the counter true."""
    nvml, board = opened()
    for index in range(10_000):
        sim.set_power(0, float(index % 700))
    counter_j = nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000
    assert counter_j <= sim.true_energy_j(0) <= counter_j + 1.0


@simulated(SimGpu(mig=2))
def test_a_mig_instance_has_a_name_and_no_energy(sim: Simulator) -> None:
    """As on hardware: its UUID is told, its energy and power are not supported."""
    nvml, board = opened()
    instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, 1)
    assert nvml.nvmlDeviceGetUUID(instance) == sim.mig_uuid(0, 1)
    for ask in (nvml.nvmlDeviceGetTotalEnergyConsumption, nvml.nvmlDeviceGetPowerUsage):
        with pytest.raises(nvml.NVMLError_NotSupported):
            ask(instance)


@simulated()
def test_a_reload_of_the_driver_makes_handles_stale(sim: Simulator) -> None:
    """Every call fails until nvmlInit; an old handle fails after it too."""
    nvml, board = opened()
    sim.load_driver()
    for error in (nvml.NVMLError_Uninitialized, nvml.NVMLError_InvalidArgument):
        with pytest.raises(error):
            nvml.nvmlDeviceGetTotalEnergyConsumption(board)
        nvml.nvmlInit()


def test_a_body_that_fails_fails_its_test() -> None:
    """A fault in the process of its own is not lost on the way."""

    @simulated()
    def fails(sim: Simulator) -> None:
        raise AssertionError("never reached: the process finds no such name")

    with pytest.raises(pytest.fail.Exception, match="has no attribute 'fails'"):
        fails()
