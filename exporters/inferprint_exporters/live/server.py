"""A server of the live page beside the process that it watches, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from inferprint.loopback import names_for
from inferprint_exporters._metrics_server import cannot_listen
from inferprint_exporters.live.app import page_app

if TYPE_CHECKING:
    from inferprint_exporters.live.exporter import LiveExporter

__all__ = ["LiveServer"]

LOOK_S = 0.01


class LiveServer:
    """Serves an exporter's page until it is closed.

    Args:
        live: whose page.
        host: the address to listen on.
        port: 0 takes any free one.

    Raises:
        ConfigError: it cannot listen there.
    """

    def __init__(self, live: LiveExporter, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise cannot_listen(port, host, error, "live") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                page_app(live, names_for(host)),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            name="inferprint-live-server",
            daemon=True,
        )
        self._thread.start()
        # It imports as it starts: the child of a fork in the midst of that could import no more.
        while self._thread.is_alive() and not self._server.started:
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Ends its thread and frees the port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def abandon(self) -> None:
        """Closes the copy of its socket that a forked child has, where its thread is not."""
        self._socket.close()
