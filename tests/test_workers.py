"""Servers of several processes, run for real: one receipt for each request, and the sum right.

Each process is a tracker of its own, so that what is known is each one's own CPU time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inferprint import Config, Tracker
from inferprint.sources.cpu_usage import cpu_times
from support import REPO, require_module, run_python
from worker_app import WORK_S

REQUESTS = 24

PROCESSES = """
import os, sys, time
import {package}
import inferprint

def work(number):
    for _ in range(4):
        with inferprint.request("child") as request:
            began_s = time.process_time()
            while time.process_time() < began_s + 0.03:
                pass
    assert inferprint.get_tracker().status().in_flight in ({{}}, {{"child": 1}})

if __name__ == "__main__":
    if {started}:
        with inferprint.request("parent"):
            time.sleep(0.05)
    context = {package}.get_context({method!r})
    processes = [context.Process(target=work, args=(number,)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print([process.exitcode for process in processes])
"""

ENGINE = """
import json, multiprocessing, sys, time
import inferprint

def engine(asked, answered):
    while asked.get() is not None:
        began_s = time.process_time()
        while time.process_time() < began_s + 0.1:
            pass
        answered.put("answer")

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    asked, answered = context.Queue(), context.Queue()
    process = context.Process(target=engine, args=(asked, answered))
    process.start()
    with inferprint.Tracker() as tracker:
        receipts = []
        for _ in range(5):
            with tracker.request("m") as request:
                asked.put("question")
                answered.get()
            receipts.append(request.receipt(timeout=30.0))
        books = tracker.balance().devices["cpu:package-0"]
    asked.put(None)
    process.join()
    ids = {{receipt.request_id for receipt in receipts}}
    share = books.requests_active_j / (books.requests_active_j + books.other_processes_j)
    print(json.dumps([len(ids), share]))
""".replace("{{", "{").replace("}}", "}")


def kept(folder: Path) -> dict[str, str]:
    """Settings of processes whose receipts all go to one database."""
    return {
        "INFERPRINT_SOURCES": "cpu_model",
        "INFERPRINT_EXPORTERS": "store",
        "INFERPRINT_STORE_URL": f"sqlite:///{folder / 'receipts.db'}",
        "INFERPRINT_LOCK_FOLDER": str(folder / "locks"),
    }


def report(folder: Path) -> dict[str, Any]:
    """What the receipts in the database add up to."""
    url = kept(folder)["INFERPRINT_STORE_URL"]
    result = run_python("-m", "inferprint", "report", "--store", url, "--json")
    assert result.returncode == 0, result.stderr
    totals: dict[str, Any] = json.loads(result.stdout)
    return totals


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def server(command: Sequence[str], env: Mapping[str, str]) -> Iterator[None]:
    """A server that is asked to end with SIGTERM, as by a supervisor, and ends well."""
    path = os.pathsep.join([str(REPO / "tests"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=REPO / "tests",
        env={**os.environ, **env, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM), said
        assert "Traceback" not in said, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ask(port: int) -> int:
    """One request; the process that served it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as reply:
        pid: int = json.load(reply)["pid"]
        return pid


def eventually(seen: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            return seen()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def served(port: int) -> Counter[int]:
    """Requests, four at a time, until two processes have served; how many each of them did."""
    eventually(lambda: ask(port))
    pids = Counter[int]()
    deadline = time.monotonic() + 60
    with ThreadPoolExecutor(4) as pool:
        while (len(pids) < 2 or pids.total() < REQUESTS) and time.monotonic() < deadline:
            pids.update(pool.map(lambda _: ask(port), range(REQUESTS // 2)))
    return pids


@pytest.mark.alone
def test_uvicorns_workers_have_one_receipt_for_each_request(tmp_path: Path) -> None:
    """Each worker is started anew."""
    port = free_port()
    command = ["uvicorn", "--workers", "2", "--port", str(port), "worker_app:app"]
    check(tmp_path, port, [*command, "--no-access-log"], {})


@pytest.mark.alone
@pytest.mark.parametrize("started", ["", "1"])
def test_gunicorns_workers_have_one_receipt_for_each_request(tmp_path: Path, started: str) -> None:
    """Forked from a process that has loaded the application, and measures already or not."""
    require_module("gunicorn", "pip install 'inferprint[test]'")
    port = free_port()
    command = ["gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    check(tmp_path, port, [*command, "worker_app:wsgi"], {"START_BEFORE_FORK": started})


def check(folder: Path, port: int, command: Sequence[str], env: Mapping[str, str]) -> None:
    """Every request has one receipt; together they have about the part of what the host's CPUs used
    above idle that their CPU time is of all that was busy meanwhile.
    """
    with Tracker(Config(sources=("cpu_model",)), exporters=[]) as observer:
        before = cpu_times()
        with server(command, {**kept(folder), **env}):
            pids = served(port)
        observer.flush()
        busy_s = cpu_times().busy_s - before.busy_s
        (books,) = observer.balance().devices.values()
    totals = report(folder)
    requests = pids.total() + 1  # and the one that waited for the server
    assert len(pids) == 2, pids
    assert totals["requests"] == requests
    used_j = books.other_processes_j + books.unattributed_j
    expected_j = used_j * requests * WORK_S / busy_s
    # The model's curve is up to four times as steep at one load as at another.
    assert expected_j / 4 < totals["active_j"] < min(4 * expected_j, used_j), (totals, expected_j)


@pytest.mark.parametrize(
    ("method", "started"),
    [("fork", True), ("fork", False), ("spawn", False), ("forkserver", True)],
)
def test_processes_of_multiprocessing_hand_their_receipts_over(
    tmp_path: Path, method: str, started: bool
) -> None:
    """They end without what ``atexit`` knows, unless they were spawned."""
    run_processes(tmp_path, "multiprocessing", method, started)


@pytest.mark.real
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_torch_hand_their_receipts_over(tmp_path: Path, method: str) -> None:
    """Likewise those of ``torch.multiprocessing``."""
    require_module("torch", "pip install 'inferprint[large]'")
    run_processes(tmp_path, "torch.multiprocessing", method, True)


def run_processes(folder: Path, package: str, method: str, started: bool) -> None:
    script = folder / "processes.py"
    script.write_text(PROCESSES.format(package=package, method=method, started=started))
    command = [sys.executable, "-W", "ignore", str(script)]
    result = subprocess.run(
        command,
        cwd=REPO,
        env={**os.environ, **kept(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "[0, 0]\n"), result.stderr
    models = report(folder)["models"]
    counts = {name: models[name]["requests"] for name in models}
    assert counts == ({"child": 8, "parent": 1} if started else {"child": 8})


@pytest.mark.alone
@pytest.mark.parametrize(("scope", "is_charged"), [("process", False), ("tree", True)])
def test_an_engine_in_its_own_process_works_for_its_servers_requests(
    tmp_path: Path, scope: str, is_charged: bool
) -> None:
    """One receipt for each request; with ``cpu_scope=tree`` they have the engine's CPU time."""
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    env = {"INFERPRINT_SOURCES": "cpu_model", "INFERPRINT_CPU_SCOPE": scope}
    result = run_python(script, env=env)
    assert result.returncode == 0, result.stderr
    receipts, share = json.loads(result.stdout)
    assert receipts == 5
    assert (share > 0.1) is is_charged, share
