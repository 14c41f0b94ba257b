"""Workers of an agent that name their devices, or see some of them alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents import agent_at
from inferprint.agent.frames import BadFrame
from inferprint.agent.messages import BATCH, MOST_DEVICES, START, read_batch
from inferprint.device_names import seen_from
from rig import SteadySource
from support import REPO

WORKER = """
import sys, time
import inferprint

names = None if sys.argv[2] == "none" else sys.argv[2].split(",")
with inferprint.Tracker(inferprint.Config(agent=sys.argv[1]), exporters=[]) as tracker:
    with tracker.request("m", devices=names) as request:
        time.sleep(0.4)
    receipt = request.receipt(timeout=30.0)
    print(round(float(receipt.energy.total_j or 0) / receipt.duration_s), sorted(receipt.flags))
"""


@pytest.mark.parametrize(
    ("names", "visible", "seen"),
    [
        (None, None, None),
        (("1",), None, ("1",)),
        (None, "1", ("~1",)),
        (None, "GPU-1, GPU-2", ("~GPU-1", "~GPU-2")),
        (None, "", ()),
        (("0", "cuda:1"), "3,GPU-5", ("3", "GPU-5")),
        (("gpu", "cpu"), "3,2", ("3", "2", "cpu")),
        (("GPU-5",), "3", ("GPU-5",)),
        (("2",), "3", ("2 of '3'",)),
    ],
)
def test_numbers_are_those_that_the_worker_sees(
    names: tuple[str, ...] | None, visible: str | None, seen: tuple[str, ...] | None
) -> None:
    """The agent sees all GPUs, so that a worker's first may be its third."""
    assert seen_from(names, visible) == seen


@pytest.mark.parametrize(
    "devices", [7, ["a", 1], [["a"]], ["a"] * (MOST_DEVICES + 1), {"a": 1}, "GPU-1"]
)
def test_devices_that_are_no_short_list_of_texts_are_refused(devices: object) -> None:
    """Like all else of a batch that is none."""
    start = [START, 1, 1, "m", None, None, None, None, None, devices, False]
    with pytest.raises(BadFrame):
        read_batch([BATCH, 2, 0, [start], []], 10)


def worker(socket: str, names: str, visible: str | None) -> str:
    """What a worker prints that names these devices, and that CUDA shows these."""
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    env |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    command = [sys.executable, "-c", WORKER, socket, names]
    result = subprocess.run(
        command, cwd=REPO, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_workers_are_charged_by_the_devices_that_they_name_or_see(tmp_path: Path) -> None:
    """Those on one GPU by that alone, however they say which it is."""
    sources = [SteadySource(100.0, "GPU-1"), SteadySource(300.0, "GPU-2")]
    with agent_at(tmp_path, *sources, idle_policy="in_flight", gpu_idle_w=0.0) as agent:
        said = [
            worker(agent.socket, names, visible)
            for names, visible in (
                ("GPU-1", None),
                ("none", "1"),
                ("none", None),
                ("0", "GPU-2"),
                ("none", "7"),
                ("7", None),
            )
        ]
    watts = [int(one.split()[0]) for one in said[:4]]
    assert watts == pytest.approx([100, 300, 400, 300], rel=0.35)
    assert ["missing_reading" in one for one in said] == [False] * 5 + [True]
