"""What holds for every test: a clean environment before it, nothing left behind after it."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

GRACE_S = 1.0
"""How long a thread or a file that is being closed may still be seen after a test."""


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> None:
    """Settings of the person who runs the tests do not reach them."""
    for name in [name for name in os.environ if name.startswith("INFERPRINT_")]:
        del os.environ[name]
    # A shell starts what it runs in the background with Ctrl-C ignored, which programs that
    # tests start and interrupt would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, an open file or a socket behind."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    deadline = time.monotonic() + GRACE_S
    while leaks := _leaks(threads, files):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(leaks), pytrace=False)
        gc.collect()
        time.sleep(0.01)


def _leaks(threads: set[threading.Thread], files: set[str]) -> list[str]:
    left = [thread.name for thread in threading.enumerate() if thread not in threads]
    return left + sorted(_open_files() - files)


def _open_files() -> set[str]:
    """Every open descriptor of this process with what it is; none where there is no /proc."""
    return {f"fd {fd}: {target}" for fd in _listdir("/proc/self/fd") if (target := _readlink(fd))}


def _listdir(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _readlink(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # the descriptor that listed the folder
        return ""
