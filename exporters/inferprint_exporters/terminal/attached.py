"""Looks at a server through its Prometheus metrics."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inferprint.errors import ConfigError, InferprintError
from inferprint.page_text import read_page, reason
from inferprint_exporters.terminal.families import Families
from inferprint_exporters.terminal.view import View, as_of_then

__all__ = ["Attached", "metrics_url"]

EXAMPLE = "http://127.0.0.1:9464/metrics"

COUNTS_ALONE = (
    "Metrics name no request: those in flight are counts by model here, without their costs."
)


def metrics_url(text: str) -> str:
    """The address of a server's metrics.

    Args:
        text: a URL; one without a path gets ``/metrics``.

    Raises:
        ConfigError: it is none.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable or not text.isprintable() or " " in text:
        raise ConfigError("--metrics", text, f"a URL such as {EXAMPLE}")
    return urlunsplit(parts if parts.path.strip("/") else parts._replace(path="/metrics"))


class Attached:
    """A server that is looked at.

    Args:
        url: of its metrics.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._last: tuple[float, View] | None = None

    def fetch(self) -> View:
        """What the server says now.

        Raises:
            InferprintError: it says nothing, or nothing of inferprint.
        """
        try:
            families = Families(_parsed(read_page(self.url)))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InferprintError(f"{self.url} cannot be read: {reason(error)}. {MEND}") from error
        if not families:
            raise InferprintError(f"{self.url} has metrics, but none of inferprint's. {MEND}")
        view = self._view(families)
        self._last = time.monotonic(), view
        return view

    def take(self) -> View:
        """As ``fetch``, but a server that does not answer is shown as that: raises nothing."""
        try:
            return self.fetch()
        except InferprintError as error:
            if self._last is None:
                return View(_now(), "metrics", self.url, notes=(f"No data yet: {error}",))
            at_s, view = self._last
            return as_of_then(view, time.monotonic() - at_s, f"No answer: {error}")

    def _view(self, families: Families) -> View:
        notes = [COUNTS_ALONE]
        if not families.has_tracker:
            notes.append("No tracker has started there: nothing is known of devices and requests.")
        return View(
            at=_now(),
            mode="metrics",
            address=self.url,
            devices=families.devices(),
            models=families.models(),
            in_flight=families.in_flight,
            grid=families.grid,
            hosted_j=families.hosted_j,
            faults=families.faults,
            notes=tuple(notes),
        )


MEND = "A server has them with INFERPRINT_EXPORTERS=prometheus, while it runs."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parsed(text: str) -> Iterator[Metric]:
    try:
        yield from text_string_to_metric_families(text)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError("it is no page of Prometheus metrics") from error
