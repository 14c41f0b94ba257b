"""A running tracker on the stand-in GPUs and a recorded powercap tree, without requests.

Prints what it took while it was learning the counters' steps and after that, and what a
bare loop takes that reads the same sources ten times a second, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks._rig import from_tests
from inferprint import Config, Tracker
from inferprint.sources.detect import detect

READ = "nvmlDeviceGetTotalEnergyConsumption"
# The sampler learns a counter's steps in this time at most.
LEARNING_S = 1.5


def spent(tracker: Tracker, simulator: Any) -> dict[str, float]:
    """What the tracker, the process and the driver's calls have come to so far."""
    return {
        "at_s": time.monotonic(),
        "sampler_cpu_s": tracker.status().self_cpu_s,
        "process_cpu_s": time.process_time(),
        "reads": simulator.calls(READ),
        "all_calls": sum(map(simulator.calls, from_tests("nvml_sim.state").FUNCTIONS)),
    }


def run(config: Config, seconds: float) -> list[dict[str, float]]:
    """What was spent at the start, once the steps are learned, and ``seconds`` after that."""
    with from_tests("nvml_sim").Simulator.attach() as simulator, Tracker(config) as tracker:
        marks = [spent(tracker, simulator)]
        for wait_s in (LEARNING_S, seconds):
            time.sleep(wait_s)
            marks.append(spent(tracker, simulator))
    return marks


def bare_cpu_s(config: Config, seconds: float) -> float:
    """CPU seconds of reading the sources on a grid, and of doing nothing with what they say."""
    sources = detect(config).sources
    began_s, next_s = time.thread_time(), time.monotonic()
    for _ in range(round(seconds / config.sample_interval_s)):
        for source in sources:
            source.read()
        next_s += config.sample_interval_s
        time.sleep(max(0.0, next_s - time.monotonic()))
    taken_s = time.thread_time() - began_s
    for source in sources:
        source.close()
    return taken_s


def main(powercap_root: str, seconds: float) -> None:
    """Prints what both took."""
    config = Config(sources=("nvml", "rapl"), powercap_root=powercap_root)
    bare_s = bare_cpu_s(config, seconds)
    print(json.dumps({"bare_cpu_percent": 100 * bare_s / seconds, "marks": run(config, seconds)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
