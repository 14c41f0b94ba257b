"""Agents and workers to test with: in this process, or as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inferprint import Config, Exporter, PowerSource, Request, Tracker
from inferprint.agent import Agent
from inferprint.agent.intake import Intake
from rig import SteadySource
from support import REPO

PATIENCE_S = 20.0
"""A machine of a CI service may take five times as long as this one, and is noisy."""


def until(reached: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Waits until something is so."""
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline_s, "it did not come to this in time"
        time.sleep(0.01)


@contextmanager
def agent_at(
    path: Path,
    *sources: PowerSource,
    exporters: Sequence[Exporter] = (),
    **settings: Any,
) -> Iterator[Agent]:
    """An agent in this process; on a source of 100 W if none is given."""
    socket = str(path / "agent.sock")
    with Agent(
        Config(**settings),
        socket=socket,
        sources=sources or [SteadySource()],
        exporters=exporters,
    ) as agent:
        yield agent


@contextmanager
def worker_of(agent: Agent, *exporters: Exporter, **settings: Any) -> Iterator[Tracker]:
    """A worker of an agent, connected to it."""
    with Tracker(Config(agent=agent.socket, **settings), exporters=exporters) as tracker:
        until(lambda: tracker._engine._greeted)  # type: ignore[attr-defined]
        yield tracker


def intake_of(agent: Agent) -> Intake:
    """What takes an agent's events."""
    assert agent._connections is not None
    return agent._connections.intake


def request(tracker: Tracker, seconds: float = 0.15, model: str = "m") -> Request:
    """A request that took so long."""
    with tracker.request(model) as one:
        time.sleep(seconds)
    return one


class Program:
    """A Python program that says ``ready`` and then answers each line with a line.

    Args:
        script: the program.
        env: beside the environment of this process.
    """

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=REPO,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.read()

    def read(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, line: str) -> str:
        """The answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def kill(self) -> None:
        """Ends it at once, as ``kill -9`` does."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        """Ends its input, and waits for its end; its exit code."""
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


@contextmanager
def program(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Program]:
    """A program that is gone in the end."""
    one = Program(*arguments, env=env)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()
        for stream in (one.process.stdin, one.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()


def command(path: str, *options: str) -> tuple[str, ...]:
    """The arguments of ``inferprint agent``, beside any other agent of this machine."""
    return ("-m", "inferprint", "agent", "--socket", path, "--beside", "--json", *options)


WORKER = """
import json, sys, time
from inferprint import Config, Tracker

running = {}
with Tracker(Config(agent=sys.argv[1])) as tracker:
    print("ready", flush=True)
    for line in sys.stdin:
        what, name = line.split()
        if what == "begin":
            running[name] = tracker.request("m", labels={"worker": sys.argv[2]})
            running[name]._begin(owns_thread=False, detached=True)
            answer = running[name].request_id
        elif what == "end":
            running[name]._end("ok")
            answer = "ended"
        else:
            answer = running[name].receipt(timeout=20).to_json()
        print(answer, flush=True)
"""


@contextmanager
def worker_program(
    path: str, name: str = "one", env: dict[str, str] | None = None
) -> Iterator[Program]:
    """A worker in a process of its own, told ``begin NAME``, ``end NAME``, ``receipt NAME``."""
    with program("-c", WORKER, path, name, env=env) as one:
        assert one.first == "ready"
        yield one


def receipt_of(worker: Program, name: str) -> dict[str, Any]:
    """The receipt of a worker's request."""
    said: dict[str, Any] = json.loads(worker.ask(f"receipt {name}"))
    return said
