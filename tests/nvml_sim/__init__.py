"""A stand-in for NVIDIA's libnvidia-ml.so.1, and the hand that moves it while it is read.

It is a C library that the real pynvml loads, so a process must start with the simulator's
environment to see it. ``simulated`` runs a test's body in such a process::

    @simulated(SimGpu(power_w=300.0))
    def test_power(sim: Simulator) -> None:
        sim.set_power(0, 500.0)      # what NVML says changes at this instant
        assert sim.calls("nvmlDeviceGetTotalEnergyConsumption") == 0

A program of its own is run with ``Simulator(...).env``, and moved from outside.
"""

from __future__ import annotations

from nvml_sim.build import build
from nvml_sim.process import simulated
from nvml_sim.simulator import SimGpu, Simulator

__all__ = ["SimGpu", "Simulator", "build", "simulated"]
