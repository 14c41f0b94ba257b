"""An agent on a device of steady power, in a process that can be looked at from outside.

It says ``ready``; then, for each line on its input, as JSON: its CPU seconds, its resident
megabytes, how many workers are connected, how many requests it has settled, its books' closure
error, and what was counted.
"""

from __future__ import annotations

import json
import sys
import time

import psutil

from benchmarks._steady import Steady
from inferprint import Config
from inferprint.agent import Agent
from inferprint.cli.agent import _allow_many_files


def main(path: str) -> None:
    _allow_many_files()
    process = psutil.Process()
    with Agent(Config(exporters=()), socket=path, sources=[Steady()]) as agent:
        print("ready", flush=True)
        for _ in sys.stdin:
            said = {
                "cpu_s": time.process_time(),
                "rss_mb": process.memory_info().rss / 1e6,
                "workers": agent.workers,
                "settled": agent.tracker._engine._settled,
                "closure_error": agent.tracker.balance().closure_error,
                "errors": {
                    kind: n for (_, kind), n in agent.tracker.status().source_errors.items()
                },
            }
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
