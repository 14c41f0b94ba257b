"""The HTTP server that Prometheus scrapes."""

from __future__ import annotations

import errno
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server
from prometheus_client.registry import Collector

from inferprint.errors import ConfigError

__all__ = ["MetricsServer"]


class MetricsServer:
    """Serves a registry's metrics on every path until it is closed.

    Args:
        registry: whose metrics.
        port: 0 takes any free one.
        host: the address to listen on.

    Raises:
        ConfigError: it cannot listen there.
    """

    def __init__(self, registry: Collector, port: int, host: str) -> None:
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise cannot_listen(port, host, error) from error

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Ends its thread and frees the port. A second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def abandon(self) -> None:
        """Closes the copy of its socket that a forked child has, where its thread is not."""
        self._server.server_close()


def cannot_listen(port: int, host: str, error: OSError, what: str = "prometheus") -> ConfigError:
    """What to tell a user whose host and port, ``{what}_host`` and ``{what}_port``, gave this
    error.
    """
    free = f"Or take any free one: INFERPRINT_{what.upper()}_PORT=0."
    if error.errno == errno.EADDRINUSE:
        mend = f"What listens there: ss -ltnp 'sport = :{port}'. {free}"
        return ConfigError(f"{what}_port", port, f"a port that is free on {host}", mend)
    if error.errno == errno.EACCES:
        expected = "a port that this user may open, 1024 or above"
        return ConfigError(f"{what}_port", port, expected, free)
    expected = f"an address of this machine, such as '127.0.0.1' ({error})"
    return ConfigError(f"{what}_host", host, expected, "This machine's addresses: ip address.")
