"""The server behind the proxy as processes of this machine, where it is on this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import partial

import psutil
from yarl import URL

from inferprint.errors import ConfigError
from inferprint.sources.server_usage import listening_on

__all__ = ["server_processes"]


def server_processes(upstream: str, pid: int | None) -> Callable[[], Sequence[int]] | None:
    """What finds the processes of the upstream.

    Args:
        upstream: its address.
        pid: the process that it is; None: whichever listens at its port.

    Returns:
        It; None: the upstream is on another machine.

    Raises:
        ConfigError: there is no process of this number.
    """
    if pid is not None:
        if not psutil.pid_exists(pid):
            raise ConfigError("pid", pid, "the number of a process of this machine", "ps -ef")
        return lambda: [pid] if psutil.pid_exists(pid) else []
    url = URL(upstream)
    return partial(listening_on, url.port) if url.port and _is_here(url.host or "") else None


def _is_here(host: str) -> bool:
    """Whether a host's address is one of this machine's."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    own = {one.address for ones in psutil.net_if_addrs().values() for one in ones}
    return bool(found) and all(
        ipaddress.ip_address(one).is_loopback or one in own for one in map(str, found)
    )
