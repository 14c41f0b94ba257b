"""Serves the proxy with uvicorn, in this thread, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from inferprint._runtime import Tracker
from inferprint.errors import ConfigError
from inferprint.proxy.app import Proxy
from inferprint.proxy.options import Options
from inferprint.proxy.page import Page
from inferprint.proxy.protocol import protocol

__all__ = ["listen", "serve", "settings"]

SWITCH_S = 0.001
"""Seconds after which a thread lets another have the interpreter: the tracker's thread computes
beside the loop, and a reply waits for it as long as this (Python's own is 5 ms)."""

STOP_S = 5
"""Seconds for which a stop waits for the requests that are running."""

BACKLOG = 2048
MOST_PORT = 65_535


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: it can't.
    """
    if not 0 <= port <= MOST_PORT:
        raise ConfigError("port", port, f"a whole number from 0 to {MOST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        expected = f"an address that can be listened on ({error})"
        raise ConfigError("port", f"{host}:{port}", expected, "Try --port 0.") from error


def settings(proxy: Proxy, options: Options) -> uvicorn.Config:
    """How uvicorn is to serve it."""
    return uvicorn.Config(
        proxy,
        http=protocol(options.client_timeout_s),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=STOP_S,
    )


def serve(
    options: Options,
    tracker: Tracker,
    sock: socket.socket,
    ready: Callable[[], None],
    page: Page | None = None,
) -> None:
    """Serves until a signal stops it.

    Args:
        options: what the operator sets.
        tracker: measures the requests; it is running.
        sock: as ``listen`` gives it; it is closed at the end.
        ready: called before the first request.
        page: as for ``Proxy``.

    Raises:
        ConfigError: an option is not usable.
    """
    proxy = Proxy(options, tracker, page)
    switched_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    # What is loaded by now stays: looked through for garbage, it would hold up every request
    # that runs, for 40 to 70 ms each time.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(proxy, settings(proxy, options), sock, ready))
    finally:
        sys.setswitchinterval(switched_s)
        gc.unfreeze()
        sock.close()


class _Server(uvicorn.Server):
    """One that leaves signals alone: uvicorn's own raises them again at its end, and the process
    would be gone before what was measured is settled.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    def stop(self) -> None:
        """Stops it; the second time, without waiting for the requests that are running."""
        self.force_exit = self.should_exit
        self.should_exit = True


async def _serve(
    proxy: Proxy, config: uvicorn.Config, sock: socket.socket, ready: Callable[[], None]
) -> None:
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, server, proxy)
    ready()
    try:
        await server.serve(sockets=[sock])
    finally:
        await proxy.close()


def _stop(server: _Server, proxy: Proxy) -> None:
    server.stop()
    if proxy.page is not None:
        proxy.page.close()
