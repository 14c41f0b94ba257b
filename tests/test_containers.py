"""Trackers in containers: whose CPU time counts, and what `doctor` says that is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from inferprint import Config, Tracker
from inferprint.cli.doctor import platform_notes
from inferprint.errors import SourceUnavailable
from inferprint.sources.cgroup_usage import CgroupTimes
from inferprint.sources.cpu_usage import cpu_times
from inferprint.sources.host import Host, read_host
from inferprint.sources.tree_usage import TreeTimes
from support import REPO

BURN = "import time\nwhile time.process_time() < {}: pass\n"


def tree(root: Path, **files: str) -> Path:
    """A file system below ``root``; a double underscore in a name stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_stat", ".stat").replace("_max", ".max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def stat(seconds: float) -> str:
    return f"usage_usec {round(seconds * 1e6)}\nuser_usec 0\nsystem_usec 0\n"


def eventually(seen: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not seen():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def burn(seconds: float) -> None:
    """A child that uses so much CPU time."""
    subprocess.run([sys.executable, "-c", BURN.format(seconds)], check=True)


def test_a_containers_own_group_looks_like_the_root(tmp_path: Path) -> None:
    """Its CPU time is in the root's file, as runtimes show it."""
    root = tree(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_stat=stat(1.5))
    times = CgroupTimes(root)
    assert times.own_s() == 1.5
    tree(tmp_path, sys__fs__cgroup__cpu_stat=stat(2.25))
    seen = times()
    assert seen.own_s == 2.25
    assert seen.busy_s <= cpu_times().busy_s


def test_a_service_of_the_host_has_a_group_of_its_own(tmp_path: Path) -> None:
    """Found by its path below the root of all groups."""
    root = tree(
        tmp_path,
        proc__self__cgroup="1:name=systemd:/x\n0::/system/model\n",
        sys__fs__cgroup__cpu_stat=stat(100.0),
        sys__fs__cgroup__system__model__cpu_stat=stat(3.0),
    )
    assert CgroupTimes(root).own_s() == 3.0


@pytest.mark.parametrize("cgroup", ["0::/../../other\n", "0::/not/mounted/here\n", "4:cpu:/x\n"])
def test_a_group_that_is_not_shown_is_that_of_the_mount(cgroup: str, tmp_path: Path) -> None:
    """A path that leads outside, as that of a process in another namespace, is not followed."""
    root = tree(tmp_path, proc__self__cgroup=cgroup, sys__fs__cgroup__cpu_stat=stat(7.0))
    assert CgroupTimes(root).own_s() == 7.0


@pytest.mark.parametrize("files", [{}, {"sys__fs__cgroup__cpu_stat": "nr_periods 0\n"}])
def test_without_groups_it_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(SourceUnavailable, match="cpu_scope='tree'"):
        CgroupTimes(tree(tmp_path, **files))


def test_the_group_of_this_process_counts_its_children() -> None:
    """On this machine, if its kernel has cgroup v2."""
    try:
        times = CgroupTimes()
    except SourceUnavailable:
        pytest.skip("this kernel shows no cgroup v2: start it with cgroup_no_v1=all")
    before_s = times.own_s()
    burn(0.2)
    assert eventually(lambda: times.own_s() - before_s >= 0.2)


def test_the_tree_counts_this_process_and_its_children() -> None:
    """The process alone does not."""
    times = TreeTimes(with_self=True)
    before, alone = times.own_s(), time.process_time()
    burn(0.3)
    assert times.own_s() - before >= 0.3
    assert time.process_time() - alone < 0.3


@pytest.mark.alone
@pytest.mark.parametrize(("scope", "is_charged"), [("process", False), ("tree", True)])
def test_requests_are_charged_for_the_scope(scope: str, is_charged: bool) -> None:
    """Work that a child process does is the request's with ``tree``, and another's without."""
    config = Config(sources=("cpu_model",), cpu_scope=scope)  # type: ignore[arg-type]
    with Tracker(config, exporters=[]) as tracker:
        with tracker.request("m"):
            burn(0.6)
        tracker.flush(timeout=30.0)
        (cpu,) = list(tracker.balance().devices.values())[:1]
    share = cpu.requests_active_j / (cpu.requests_active_j + cpu.other_processes_j)
    assert (share > 0.15) is is_charged, share


def test_a_child_of_a_fork_counts_its_own_tree() -> None:
    """What its parent had used before is not a level that it has to reach first."""
    times = TreeTimes(with_self=True)
    burn(0.2)
    assert times.own_s() >= 0.2
    times._home = os.getpid() + 1  # as in the child, to which the parent's children are nothing
    times._own_s = 1e9
    assert times.own_s() < 1e9


def test_limits_and_files_of_a_container_are_read(tmp_path: Path) -> None:
    """CPUs and memory of the group, and whether a GPU was given to it."""
    root = tree(
        tmp_path,
        **{"run__.containerenv": ""},
        sys__fs__cgroup__cpu_max="250000 100000\n",
        sys__fs__cgroup__memory_max=f"{4 << 30}\n",
        dev__nvidiactl="",
    )
    host = read_host(root)
    assert (host.container, host.cpu_limit, host.memory_limit) == (True, 2.5, 4 << 30)
    assert (host.gpu_files, host.own_pids) == (True, True)
    tree(tmp_path, sys__fs__cgroup__memory_max="max\n")
    assert read_host(root).memory_limit is None


@pytest.mark.parametrize(
    ("gpu_files", "own_pids", "said", "unsaid"),
    [
        (False, True, "--gpus all", "--pid=host"),
        (True, True, "--pid=host", "--gpus all"),
        (True, False, "INFERPRINT_LOCK_FOLDER", "--pid=host"),
    ],
)
def test_doctor_says_what_a_container_hides(
    gpu_files: bool, own_pids: bool, said: str, unsaid: str
) -> None:
    """And what would show it, for Docker and for Kubernetes."""
    host = Host(
        "Linux", "CPU", 1, 8, False, True, None, 3 << 29, own_pids=own_pids, gpu_files=gpu_files
    )
    notes = " ".join(platform_notes(host))
    assert said in notes
    assert unsaid not in notes
    assert "cpu_scope=cgroup" in notes
    assert "1.5 GiB" in notes


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_the_examples_name_settings_that_there_are(name: str) -> None:
    """They are YAML, mount what they name, and every setting in them is one."""
    text = (REPO / "examples" / name).read_text()
    assert yaml.safe_load(text)
    settings = {f"INFERPRINT_{field.upper()}" for field in Config.__dataclass_fields__}
    named = {
        word for word in text.replace(":", " ").replace(",", " ").split() if "INFERPRINT_" in word
    }
    assert named
    assert named <= settings
    assert text.count("/run/inferprint") >= 2
    assert text.count("/powercap") >= 2
