"""``inferprint agent`` as a program: where it listens, who may connect, and how it ends."""

from __future__ import annotations

import grp
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agents import PATIENCE_S, agent_at, command, program, receipt_of, until, worker_program
from inferprint import Config, ConfigError, InferprintError, cli
from inferprint.agent import Agent
from inferprint.agent.place import take_host
from rig import SteadySource
from stores import reported, url_of
from support import REPO, missing, run_python

ENV = {"INFERPRINT_SOURCES": "cpu_model", "INFERPRINT_LOCATION": "FRA"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_workers_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Receipts, metrics and a store of all workers' requests; it ends well and takes its socket
    away.
    """
    path, url = str(tmp_path / "agent.sock"), url_of(tmp_path)
    options = command(path, "--metrics-port", "0", "--store", url)
    with program(*options, env=ENV) as agent:
        told = json.loads(agent.first)
        assert told["listening"] == path
        assert told["pid"] == agent.process.pid
        with worker_program(path, "one") as one, worker_program(path, "two") as two:
            for worker in (one, two):
                worker.ask("begin a")
            for worker in (one, two):
                worker.ask("end a")
            receipts = [receipt_of(worker, "a") for worker in (one, two)]
            assert [one.end(), two.end()] == [0, 0]
        page = _page(told["metrics"])
        agent.process.send_signal(number)
        agent.process.communicate(timeout=PATIENCE_S)
    assert agent.process.returncode == 0
    assert not Path(path).exists()
    assert {receipt["provenance"] for receipt in receipts} == {"modelled"}
    assert 'inferprint_request_duration_seconds_count{model="m",outcome="ok"} 2.0' in page
    found = reported(url)
    assert found["requests"] == 2
    charged_j = sum(receipt["energy"]["total_j"]["mid"] for receipt in receipts)
    assert found["energy_j"] == pytest.approx(charged_j, rel=1e-6)


def _page(url: str) -> str:
    def page() -> str:
        with urllib.request.urlopen(url) as reply:
            text: str = reply.read().decode()
        return text

    until(lambda: "inferprint_request_duration_seconds_count" in page())
    return page()


def test_only_owner_and_group_may_connect(tmp_path: Path) -> None:
    """The socket's rights are 0660, of the group that was named."""
    group = grp.getgrgid(os.getgid()).gr_name
    socket = str(tmp_path / "agent.sock")
    with Agent(Config(), socket=socket, sources=[SteadySource()], group=group):
        found = os.stat(socket)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == os.getgid()


def test_a_path_that_an_agent_has_is_taken(tmp_path: Path) -> None:
    """The error names the process that has it, and that one goes on."""
    with agent_at(tmp_path) as agent:
        with pytest.raises(ConfigError, match=rf"socket=.*process {os.getpid()}"):
            Agent(Config(), socket=agent.socket, sources=[SteadySource()]).start()
        assert Path(agent.socket).is_socket()


def test_a_dead_agents_socket_is_replaced(tmp_path: Path) -> None:
    """One that was killed leaves its socket behind."""
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert Path(path).is_socket()
    with agent_at(tmp_path) as agent, worker_program(agent.socket) as worker:
        assert worker.end() == 0


@pytest.mark.parametrize(
    ("path", "options", "named"),
    [
        ("file", [], "left alone"),
        ("none/agent.sock", [], "mkdir -p"),
        ("x" * 120, [], "107 bytes"),
        ("agent.sock", ["--group", "nobody-has-this-group"], "groupadd"),
        ("agent.sock", ["--store", "nonsense"], "store_url"),
    ],
)
def test_what_can_not_be_used_is_named(
    tmp_path: Path,
    path: str,
    options: list[str],
    named: str,
) -> None:
    """Wrong usage: exit code 2, and what would be right."""
    (tmp_path / "file").write_text("precious")
    result = run_python(*command(str(tmp_path / path), *options), env=ENV)
    assert result.returncode == cli.WRONG_USAGE
    assert named in result.stderr
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file"]


def test_it_wants_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    """By an option or the environment."""
    result = run_python("-m", "inferprint", "agent")
    assert result.returncode == cli.WRONG_USAGE
    assert "--socket or INFERPRINT_AGENT" in result.stderr


def test_two_agents_on_one_host_are_one_too_many(tmp_path: Path) -> None:
    """The second says which process has it, unless it is told to run beside it."""
    try:
        host = take_host()
    except InferprintError:
        missing("a host on which no agent runs", "stop the agent that runs here")
    with host:
        arguments = [one for one in command(str(tmp_path / "a.sock")) if one != "--beside"]
        result = run_python(*arguments, env=ENV)
        assert result.returncode == cli.FAILED
        assert f"process {os.getpid()}" in result.stderr
        assert "--beside" in result.stderr
        with program(*command(str(tmp_path / "b.sock")), env=ENV) as beside:
            assert json.loads(beside.first)["listening"] == str(tmp_path / "b.sock")


def test_without_msgpack_it_says_how_to_get_it(tmp_path: Path) -> None:
    """The agent and its workers need it; nothing else does."""
    script = (
        "import sys; sys.modules['msgpack'] = None\n"
        "from inferprint import Config, MissingExtra, Tracker\n"
        "try:\n    Tracker(Config(agent='/tmp/agent.sock'))\n"
        "except MissingExtra as error:\n    print(error)\n"
    )
    result = run_python("-c", script)
    assert (result.returncode, result.stderr) == (0, "")
    assert "inferprint[agent]" in result.stdout


def test_a_tracker_without_an_agent_loads_nothing_of_it() -> None:
    """Neither msgpack nor the package of the agent."""
    script = (
        "import sys, inferprint\n"
        "from inferprint import Tracker\n"
        "with Tracker(sources=[]): pass\n"
        "print([n for n in sys.modules if n == 'msgpack' or n.startswith('inferprint.agent')])"
    )
    result = run_python("-c", script)
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr


def test_it_is_listed_among_the_commands() -> None:
    """With one line of what it does."""
    shown = subprocess.run(
        [sys.executable, "-m", "inferprint", "--help"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "all processes of this host" in shown.stdout
