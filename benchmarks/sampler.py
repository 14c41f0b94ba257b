"""What the sampler takes of one core at 10 Hz, with eight stand-in GPUs and RAPL."""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._report import Report, main
from benchmarks._rig import from_tests, start

GPUS = 8
STEPS_MS = (20, 100)
# Two packages and the DRAM of each.
LISTING = "intel_two_sockets"


def run(step_ms: float, seconds: float, seed: int) -> dict[str, float]:
    """One run: the GPUs' counters step at one period, each at a phase of its own."""
    nvml_sim, rng = from_tests("nvml_sim"), random.Random(seed)
    gpus = [nvml_sim.SimGpu(step_ms=step_ms, phase_ms=rng.uniform(0, 100)) for _ in range(GPUS)]
    with (
        tempfile.TemporaryDirectory() as folder,
        nvml_sim.Simulator(*gpus) as simulator,
    ):
        root = from_tests("powercap").PowercapTree(LISTING, Path(folder)).root
        environment = os.environ | simulator.env
        process = start("_sampler_run", str(root), str(seconds), env=environment)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the run failed")
    return shares(**json.loads(output))


def shares(bare_cpu_percent: float, marks: Any) -> dict[str, float]:
    """Shares of a core and calls a second, from what was spent at three instants."""
    began, learned, ended = marks
    passed_s = ended["at_s"] - learned["at_s"]
    spent = {name: (ended[name] - learned[name]) / passed_s for name in ended}
    sampler_cpu_percent = 100 * spent["sampler_cpu_s"]
    return {
        "sampler_cpu_percent": sampler_cpu_percent,
        "bare_loop_cpu_percent": bare_cpu_percent,
        "sampler_over_bare_loop": sampler_cpu_percent / bare_cpu_percent,
        "process_cpu_percent": 100 * spent["process_cpu_s"],
        "nvml_reads_per_gpu_per_s": spent["reads"] / GPUS,
        "nvml_calls_per_gpu_per_s": spent["all_calls"] / GPUS,
        "learning_cpu_ms": 1e3 * (learned["sampler_cpu_s"] - began["sampler_cpu_s"]),
    }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    seconds, seeds = (2.0, 1) if quick else (10.0, 5)
    report = {}
    for step_ms in STEPS_MS:
        runs = [run(step_ms, seconds, seed) for seed in range(seeds)]
        report[f"step_{step_ms}ms"] = {
            name: median(figures[name] for figures in runs) for name in runs[0]
        }
    return report


if __name__ == "__main__":
    main(__doc__, measure)
