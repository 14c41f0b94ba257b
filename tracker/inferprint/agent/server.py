"""The agent: owns the devices and the books of a host, and hears of requests from its workers."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from inferprint._config import Config
from inferprint._runtime import Tracker
from inferprint.agent.connections import Connections
from inferprint.agent.intake import Intake
from inferprint.agent.own_cpu import WorkersCpu, with_workers
from inferprint.agent.place import listen, take_host, unlisten
from inferprint.errors import ConfigError
from inferprint.sources import PowerSource
from inferprint.sources.detect import detect

if TYPE_CHECKING:
    from types import TracebackType

    from inferprint.delivery import Exporter
    from inferprint.engine import Engine

__all__ = ["Agent"]


class Agent:
    """One process that measures for all of a host.

    It is a context manager.

    Args:
        config: the settings, of which ``agent`` is left out; None: from the environment.
        socket: path of the socket that workers connect to, as ``Config(agent=...)`` has it.
        sources: where joules come from; None: what this machine has.
        exporters: where receipts go, beside those that the settings name.
        group: the group that may connect; None: that of this process.
        beside: runs although another agent runs on this host. One that is given its sources
            looks for no other.

    Attributes:
        tracker: keeps the books.

    Raises:
        ConfigError: a setting can't be used, or the path is taken.
        SourceUnavailable, MissingExtra: as ``Tracker`` does.
        InferprintError: another agent runs on this host.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        socket: str,
        sources: Sequence[PowerSource] | None = None,
        exporters: Iterable[Exporter] = (),
        group: str | None = None,
        beside: bool = False,
    ) -> None:
        if not isinstance(socket, str) or not socket.strip():
            raise ConfigError("socket", socket, "the path of a socket")
        config = replace(config or Config(), agent=None)
        self.socket, self._group = socket, group
        self._cpu = WorkersCpu()
        self._host = None if beside or sources is not None else take_host()
        try:
            findings = None
            if sources is None:
                found = detect(config)
                sources, findings = found.sources, found.findings
            # A control group's CPU time is told by the kernel, whoever of it are workers.
            counted = list(sources)
            if config.cpu_scope != "cgroup":
                counted = [with_workers(source, self._cpu) for source in sources]
            self.tracker = Tracker(config, sources=counted, exporters=exporters)
        except BaseException:
            self._leave_host()
            raise
        self.tracker.findings = findings or ()
        self._listening: sockets.socket | None = None
        self._connections: Connections | None = None

    @property
    def workers(self) -> int:
        """How many are connected."""
        return 0 if self._connections is None else len(self._connections.intake.peers)

    def start(self) -> Agent:
        """Takes the socket, starts measuring, and listens.

        Raises:
            ConfigError: the path is taken or can't be used; an exporter can't start.
        """
        try:
            self._listening = listen(self.socket, self._group)
            self._made = os.stat(self.socket)
            engine = cast("Engine", self.tracker._engine)
            connections = Connections(self._listening, self.tracker, self._cpu)
            engine.peers = connections.intake = Intake(self.tracker, engine, connections.wake)
            self._connections = connections
            self.tracker.start()
            connections.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Settles what has ended, tells the workers, and gives devices and socket back."""
        if self._listening is not None:
            unlisten(self.socket, self._made)
        self.tracker.stop()
        if self._connections is not None:
            self._connections.stop()
        elif self._listening is not None:
            self._listening.close()
        self._listening = self._connections = None
        self._leave_host()

    def _leave_host(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def __enter__(self) -> Agent:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
