"""Trackers of one host that read the same GPU find each other, and say so."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferprint.sources.claims import LOOK_NS, Claim, holder
from nvml_sim import SimGpu, Simulator
from rig import by_hand
from support import REPO, run_python

CLAIMS = """
import sys, time
from pathlib import Path
from inferprint.sources.claims import Claim
claim = Claim(Path(sys.argv[1]), "GPU-1")
print(claim.shared(0), flush=True)
sys.stdin.read()
claim.close()
"""

SERVES = """
import json, sys, time
import inferprint
with inferprint.Tracker(inferprint.Config(sources=("nvml",))) as tracker:
    print("ready", flush=True)
    for _ in sys.stdin:
        with tracker.request("m") as request:
            time.sleep(0.25)
        receipt = request.receipt(timeout=30.0)
        print(json.dumps(sorted(receipt.flags)), flush=True)
"""


def looked(claim: Claim, times: int = 1) -> bool:
    """What a claim says at its next look."""
    looked.now_ns += LOOK_NS  # type: ignore[attr-defined]
    return claim.shared(looked.now_ns)  # type: ignore[attr-defined]


looked.now_ns = 0  # type: ignore[attr-defined]


@contextmanager
def claimed_elsewhere(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that claims the device; and whether it found it shared."""
    command = [sys.executable, "-c", CLAIMS, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPO, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    claim = Claim(folder, "GPU-1")
    try:
        yield claim
    finally:
        claim.close()


def eventually(seen: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not seen():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_two_processes_find_each_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second at once, the first at its next look; each tells it once, with the other's pid."""
    with claimed(tmp_path / "locks") as claim:
        assert not looked(claim)
        with claimed_elsewhere(tmp_path / "locks") as (process, found):
            assert found == "True"
            assert looked(claim)
            assert looked(claim)
            assert [f"(process {process.pid})" in text for text in caplog.messages] == [True]
            assert "inferprint agent" in caplog.text
            process.communicate()
        assert not looked(claim)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """The kernel lets go of its locks, and the one beside it becomes the first."""
    folder = tmp_path / "locks"
    with claimed_elsewhere(folder) as (process, found), claimed(folder) as claim:
        assert found == "False"
        assert looked(claim)
        assert holder(folder, "GPU-1") == process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not looked(claim)
        assert holder(folder, "GPU-1") is not None
    assert holder(folder, "GPU-1") is None


def test_who_asks_does_not_claim(tmp_path: Path) -> None:
    """Looking for a holder neither makes a file nor disturbs who holds it."""
    assert holder(tmp_path / "locks", "GPU-1") is None
    assert not (tmp_path / "locks").exists()
    with claimed(tmp_path / "locks") as claim:
        assert not looked(claim)
        assert holder(tmp_path / "locks", "GPU-1") is not None
        assert not looked(claim)


def test_all_users_of_the_host_can_lock(tmp_path: Path) -> None:
    """The folder is like /tmp, and reading a file is enough to lock it; nobody can write to one."""
    with claimed(tmp_path / "locks") as claim:
        assert not looked(claim)
        assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o1777
        files = sorted((tmp_path / "locks").iterdir())
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o444, 0o444]


@pytest.mark.parametrize("trap", ["folder", "file", "pipe", "none"])
def test_traps_are_not_walked_into(
    trap: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A link or a pipe that somebody put there is neither followed nor waited for."""
    folder, target = tmp_path / "locks", tmp_path / "target"
    if trap == "folder":
        target.mkdir()
        folder.symlink_to(target)
    elif trap == "file":
        folder.mkdir()
        (folder / "GPU-1.lock").symlink_to(target)
    elif trap == "pipe":
        folder.mkdir()
        os.mkfifo(folder / "GPU-1.lock")
    else:
        folder.write_text("a file where the folder should be")
    with claimed(folder) as claim:
        assert not looked(claim)
        assert not looked(claim)
    assert not target.exists() or list(target.iterdir()) == []
    (message,) = caplog.messages
    assert "INFERPRINT_LOCK_FOLDER" in message


def test_names_of_devices_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """An id with slashes in it, as older drivers give MIG instances, is a name all the same."""
    claim = Claim(tmp_path / "locks", "MIG-GPU-1/../../2/0")
    assert not looked(claim)
    assert {file.parent for file in tmp_path.rglob("*.lock")} == {tmp_path / "locks"}
    claim.close()


def test_the_child_of_a_fork_is_on_its_own(tmp_path: Path) -> None:
    """It finds its parent; and it holds nothing for a parent that has ended."""
    script = """
import os, sys, warnings
from pathlib import Path
from inferprint.sources.claims import Claim
warnings.simplefilter("ignore", DeprecationWarning)
claim = Claim(Path(sys.argv[1]), "GPU-1")
assert not claim.shared(0)
if not os.fork():
    shared = claim.shared(0)  # its own first look
    claim.close()
    os._exit(0 if shared else 1)
assert os.wait()[1] == 0
if not os.fork():
    print("child", flush=True)
    sys.stdin.read()  # the parent has ended: nothing of its locks may live on here
    os._exit(0)
os._exit(0)
"""
    folder = tmp_path / "locks"
    command = [sys.executable, "-c", script, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPO, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        assert process.wait(timeout=20) == 0
        assert holder(folder, "GPU-1") is None
        process.communicate()


@contextmanager
def serving(sim: Simulator) -> Iterator[Callable[[], list[str]]]:
    """A process with a tracker on the simulator's GPU; gives the flags of one more receipt."""
    pipe, env = subprocess.PIPE, {**os.environ, **sim.env}
    command = [sys.executable, "-c", SERVES]
    with subprocess.Popen(
        command, cwd=REPO, env=env, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"

        def flags() -> list[str]:
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield flags
        process.stdin.close()
        said = process.stderr.read()
        assert said.count("reads it too") <= 1, said
        assert process.wait(timeout=30) == 0


def test_receipts_of_two_trackers_on_one_gpu_say_so() -> None:
    """Those of the second from its first on, and those of the first once it can tell."""
    with Simulator(SimGpu(power_w=300.0)) as sim, serving(sim) as first:
        assert "device_shared" not in first()
        with serving(sim) as second:
            assert "device_shared" in second()
            assert eventually(lambda: "device_shared" in first())
        assert eventually(lambda: "device_shared" not in first())


def test_doctor_says_that_a_gpu_is_read_already() -> None:
    """With what to do; and the tracker that reads it does not notice the doctor."""
    with Simulator(SimGpu(power_w=300.0)) as sim, serving(sim) as first:
        result = run_python("-m", "inferprint", "doctor", "--json", env=sim.env)
        devices = {row["device"]: row for row in json.loads(result.stdout)["devices"]}
        row = devices[sim.uuid(0)]
        assert "another tracker of this host (process" in row["why"]
        assert "inferprint agent" in row["mend"]
        assert row["status"] == "measured"
        assert "device_shared" not in first()


def test_sources_that_are_given_are_not_locked(tmp_path: Path) -> None:
    """Fakes are nobody's GPU."""
    with by_hand(lock_folder=str(tmp_path / "locks")) as rig:
        rig.ran()
        assert "device_shared" not in rig.one_receipt().flags
    assert not (tmp_path / "locks").exists()


def test_a_claim_that_was_closed_says_nothing_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It can be asked again, and then claims anew."""
    caplog.set_level(logging.WARNING)
    claim = Claim(tmp_path, "GPU-1")
    assert not looked(claim)
    claim.close()
    assert holder(tmp_path, "GPU-1") is None
    assert not looked(claim)
    assert holder(tmp_path, "GPU-1") is not None
    claim.close()
