"""A real Prometheus on loopback that scrapes one target, for tests."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support import require_program

INSTALL = "apt-get install prometheus"
SCRAPE_INTERVAL = "200ms"


class Prometheus:
    """The HTTP API of a running server."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def query(self, promql: str, at_s: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query, now or at a time, one item a series."""
        at = {} if at_s is None else {"time": at_s}
        return self._get("/api/v1/query", query=promql, **at)["result"]

    def value(self, promql: str) -> float | None:
        """The value of a query with one series; None where there is none yet."""
        result = self.query(promql)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, promql: str, wanted: Callable[[float | None], bool]) -> None:
        """Queries until the value is as wanted; fails after 20 s."""
        deadline = time.monotonic() + 20
        while not wanted(value := self.value(promql)):
            assert time.monotonic() < deadline, f"{promql} is still {value}"
            time.sleep(0.1)

    def over(
        self, promql: str, seconds: float, step_s: float, until_s: float | None = None
    ) -> list[dict[str, Any]]:
        """The result of a query over seconds up to now, or to a time, one item a series."""
        now = until_s or time.time()
        span = {"start": now - seconds, "end": now, "step": step_s}
        return self._get("/api/v1/query_range", query=promql, **span)["result"]

    def values_of(self, selector: str, label: str) -> list[str]:
        """The values of a label on the series that a selector finds."""
        return self._get(f"/api/v1/label/{label}/values", **{"match[]": selector})

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, as the server last evaluated it."""
        groups = self._get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def exemplars(self, promql: str) -> list[dict[str, Any]]:
        """The exemplars of the last minute, over all series of a query."""
        now = time.time()
        series = self._get("/api/v1/query_exemplars", query=promql, start=now - 60, end=now + 1)
        return [exemplar for one in series for exemplar in one["exemplars"]]

    def _get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(path, params=params).json()
        assert answer["status"] == "success", answer
        return answer["data"]


@contextmanager
def prometheus(
    folder: Path,
    targets: int | Sequence[int] | None,
    rules: str = "",
    options: Sequence[str] = (),
    remote_write: str = "",
) -> Iterator[Prometheus]:
    """Starts a server in ``folder``; stops it at the end.

    It scrapes the ports of loopback that are given, evaluates the rules of the files that the
    pattern ``rules`` finds, is started with further ``options``, and sends all on to the address
    ``remote_write``.
    """
    ports = [targets] if isinstance(targets, int) else targets or []
    program = require_program("prometheus", INSTALL)
    config = folder / "prometheus.yml"
    settings = _config(ports, rules)
    if remote_write:
        settings["remote_write"] = [{"url": remote_write}]
    config.write_text(json.dumps(settings))  # JSON is YAML
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        *options,
    ]
    log = folder / "prometheus.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        try:
            wait_until_ready(client, process, log)
            yield Prometheus(client)
        finally:
            process.terminate()


def _config(ports: Sequence[int], rules: str) -> dict[str, Any]:
    job = {
        "job_name": "inferprint",
        "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
    }
    times = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": "1s"}
    jobs = [job] if ports else []
    return {"global": times, "scrape_configs": jobs, "rule_files": [rules] if rules else []}


def wait_until_ready(
    client: httpx.Client, process: subprocess.Popen[bytes], log: Path, path: str = "/-/ready"
) -> None:
    """Waits until a server answers; fails with its log if it ends first."""
    deadline = time.monotonic() + 30
    while not _is_ready(client, path):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _is_ready(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
