"""A real VictoriaMetrics on loopback, for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from prometheus_server import Prometheus, free_port, wait_until_ready
from support import require_program

INSTALL = "apt-get install victoria-metrics"


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[tuple[str, Prometheus]]:
    """Starts a server in ``folder``, with Prometheus' API; stops it at the end.

    Yields:
        The address that Prometheus sends to, and the server to be asked.
    """
    program, port = require_program("victoria-metrics", INSTALL), free_port()
    log = folder / "victoria-metrics.log"
    command = [program, f"-storageDataPath={folder / 'data'}", f"-httpListenAddr=127.0.0.1:{port}"]
    # What it was just sent is asked for at once.
    command += ["-search.latencyOffset=0s", "-search.disableCache"]
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        try:
            wait_until_ready(client, process, log, "/health")
            yield f"{url}/api/v1/write", Prometheus(client)
        finally:
            process.terminate()
