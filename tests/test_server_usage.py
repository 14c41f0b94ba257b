"""The CPU time of a server in another process, which is its requests'."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferprint import ConfigError
from inferprint.cli.proxy import _tracker
from inferprint.proxy.beside import server_processes
from inferprint.sources.server_usage import LOOK_S, ServerTimes, listening_on
from support import REPO

# Two processes that listen on one port; the one that was started by the other burns when asked.
SERVER = """
import http.server, json, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        until = time.process_time() + float(sys.argv[2])
        while time.process_time() < until: pass
        body = json.dumps({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
pid = os.fork()
if pid: os.waitpid(pid, 0)
else: server.serve_forever()
"""


@contextmanager
def served(port: int = 0, burns_s: float = 0.3) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server that burns CPU time for each request, and its port."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(burns_s)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def ask(url: str) -> dict[str, object]:
    request = urllib.request.Request(url + "/v1/chat/completions", data=b'{"model": "m"}')
    with urllib.request.urlopen(request, timeout=60) as reply:
        found: dict[str, object] = json.load(reply)
        return found


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_server_is_found_by_its_port_and_its_workers_count_with_it() -> None:
    """The process that was started by another of them is not counted twice."""
    with served() as (port, process):
        assert eventually(lambda: list(listening_on(port)) == [process.pid])
        times = ServerTimes(lambda: listening_on(port))
        own_s, before_s = times().own_s, time.process_time()
        ask(f"http://127.0.0.1:{port}")
        burnt_s = times().own_s - own_s - (time.process_time() - before_s)
    assert 0.25 <= burnt_s <= 0.6


def test_a_server_that_is_started_anew_is_found_again() -> None:
    """What it took before is kept, and what it took before it was found does not count."""
    now_s = 0.0
    with served(burns_s=0.5) as (port, _):
        times = ServerTimes(lambda: listening_on(port), lambda: now_s)
        assert times.found
        ask(f"http://127.0.0.1:{port}")
        first_s = times().own_s
    gone_s = times().own_s
    assert gone_s >= first_s
    with served(port, burns_s=0.5) as (port, _):
        ask(f"http://127.0.0.1:{port}")
        assert times().own_s - gone_s < 0.3
        now_s += LOOK_S
        assert times().own_s - gone_s < 0.3  # it is found now
        found_s = times().own_s
        ask(f"http://127.0.0.1:{port}")
        assert times().own_s - found_s >= 0.4


def test_nobody_is_found_where_nobody_listens() -> None:
    """Then the process's own time is what counts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    times = ServerTimes(lambda: listening_on(port))
    assert not times.found
    assert times().own_s == pytest.approx(time.process_time(), abs=0.2)


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "http://nowhere.invalid:8000"])
def test_a_server_elsewhere_has_no_process_here(url: str) -> None:
    """Of another machine, or of a name that there is none of."""
    assert server_processes(url, None) is None


def test_a_process_may_be_named(tmp_path: object) -> None:
    """And has to be there."""
    find = server_processes("http://192.0.2.1:8000", os.getpid())
    assert find is not None
    assert list(find()) == [os.getpid()]
    with pytest.raises(ConfigError, match="pid="):
        server_processes("http://192.0.2.1:8000", 2**22 + 1)


def test_where_an_agent_is_set_it_reads_the_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then the proxy has no source of its own, wherever the upstream is."""
    monkeypatch.setenv("INFERPRINT_AGENT", str(tmp_path / "agent.sock"))
    assert _tracker("http://127.0.0.1:9", None)._sources is None
    monkeypatch.delenv("INFERPRINT_AGENT")
    monkeypatch.setenv("INFERPRINT_SOURCES", "cpu_model")
    own = _tracker("http://127.0.0.1:9", None)
    assert [device.component for one in own._sources or () for device in one.devices()] == ["cpu"]


def test_a_reply_carries_the_energy_of_the_server_on_a_cpu() -> None:
    """Through the proxy as a program: what the server's process burns is active energy of the
    request, and not other processes'.
    """
    environment = {**os.environ, "INFERPRINT_SOURCES": "cpu_model"}
    with served(burns_s=2.0) as (port, _):
        upstream = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "inferprint", "proxy", "--upstream", upstream]
        with subprocess.Popen(
            [*command, "--port", "0", "--json"],
            cwd=REPO,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as proxy:
            assert proxy.stdout is not None
            url = json.loads(proxy.stdout.readline())["listening"]
            usage = ask(url)["usage"]
            assert isinstance(usage, dict)
            proxy.terminate()
            assert proxy.wait(20) == 0
    footprint = usage["footprint"]
    assert footprint["provenance"] == "modelled"
    assert footprint["active_joules"] > 0.5 * footprint["energy_joules"] > 0
