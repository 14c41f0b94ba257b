"""The exporter ``live``: keeps the latest receipts for the live page."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from inferprint._version import __version__
from inferprint.errors import MissingExtra
from inferprint.flags import MEANING
from inferprint.receipt import Receipt
from inferprint_exporters.live.books import History, device_rows
from inferprint_exporters.live.rows import row_of, shortened
from inferprint_exporters.live.tally import Tally

if TYPE_CHECKING:
    from inferprint import Config, Tracker
    from inferprint_exporters.live.server import LiveServer

__all__ = ["LiveExporter"]

MOST_RECEIPTS = 10_000
STATE_S = 0.9
"""The books are read at most so often, however many pages are open."""


class LiveExporter:
    """Keeps the latest receipts and the books of the last minutes, and gives them to pages.

    Args:
        listen: host and port to serve the page on while the tracker runs. None: nothing is
            served, but by ``live_app``.
        most_receipts: how many are kept; the oldest go first.
        most_models: models with a line of their own.
    """

    name = "live"

    def __init__(
        self,
        *,
        listen: tuple[str, int] | None = None,
        most_receipts: int = MOST_RECEIPTS,
        most_models: int = 100,
    ) -> None:
        self._listen = listen
        self._most_receipts, self._most_models = most_receipts, most_models
        self._server: LiveServer | None = None
        self._begin()

    def _begin(self) -> None:
        self.id = secrets.token_hex(4)
        self.closed = False
        self._tracker: Tracker | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._receipts: deque[Receipt] = deque(maxlen=self._most_receipts)
        self._rows: deque[str] = deque(maxlen=self._most_receipts)
        self._tally = Tally(self._most_models)
        self._history = History()
        self._state: tuple[float, str] | None = None

    @classmethod
    def from_config(cls, config: Config) -> LiveExporter:
        """An exporter that serves the page on the settings' host and port.

        Raises:
            MissingExtra: starlette or uvicorn is not installed.
        """
        try:
            import starlette
            import uvicorn  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra("the exporter 'live'", "serve") from error
        del starlette
        listen = (config.live_host, config.live_port)
        return cls(listen=listen, most_models=config.max_label_values)

    # ---- what a tracker asks of an exporter ----------------------------------------------

    def start(self, tracker: Tracker) -> None:
        """Reads this tracker from now on, and serves the page if it is to.

        Raises:
            ConfigError: it cannot listen on its host and port.
        """
        self._tracker, self.closed = tracker, False
        if self._listen is not None:
            from inferprint_exporters.live.server import LiveServer

            self._server = LiveServer(self, *self._listen)
        self.state()

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Keeps settled receipts."""
        with self._lock:
            for receipt in receipts:
                self._count += 1
                self._receipts.append(receipt)
                self._rows.append(json.dumps(row_of(receipt, self._count), allow_nan=False))
                self._tally.add(receipt)
        self.state()  # so that the books have a past when the first page opens

    def close(self) -> None:
        """Ends the streams to pages, and stops the server that ``start`` started."""
        self.closed = True
        if self._server is not None:
            self._server.close()
            self._server = None

    def after_fork(self) -> None:
        """In the child: it begins anew, and the parent's server is the parent's."""
        if self._server is not None:
            self._server.abandon()
            self._server = None
        self._begin()

    @property
    def url(self) -> str | None:
        """Where the page is, since ``start``; None while it serves none itself."""
        return self._server.url if self._server else None

    # ---- what pages ask ------------------------------------------------------------------

    def hello(self) -> str:
        """What a page is to know first, as JSON: who this is, and what the words mean."""
        tracker = self._tracker
        known: dict[str, Any] = {
            "server": self.id,
            "version": __version__,
            "most": self._most_receipts,
            "flags": MEANING,
        }
        if tracker is not None:
            known["idle_policy"] = tracker.config.idle_policy
            known["findings"] = [asdict(one) for one in tracker.findings]
            known["factors"] = [asdict(one) for one in tracker.factors.as_tuple()]
        return json.dumps(known)

    def past(self) -> str:
        """The books of the last minutes, as JSON."""
        with self._lock:
            return json.dumps(list(self._history.samples))

    def rows_after(self, number: int, most: int) -> tuple[int, list[str]]:
        """The rows after this one, oldest first, and the number of the last of them."""
        with self._lock:
            first = self._count - len(self._rows) + 1
            begin = max(number + 1, first)
            rows = list(islice(self._rows, begin - first, begin - first + most))
        return (begin + len(rows) - 1 if rows else number), rows

    def receipt(self, number: int) -> Receipt | None:
        """The receipt of this number; None: it is not kept any more, or there never was one."""
        with self._lock:
            place = number - (self._count - len(self._receipts)) - 1
            return self._receipts[place] if 0 <= place < len(self._receipts) else None

    def state(self) -> str:
        """The sums, the devices and how the tracker is, as JSON; at most a second old."""
        now_s = time.monotonic()
        state = self._state
        if state is not None and now_s - state[0] < STATE_S:
            return state[1]
        text = json.dumps(self._read(now_s))
        self._state = now_s, text
        return text

    def _read(self, now_s: float) -> dict[str, Any]:
        tracker = self._tracker
        if tracker is None:
            return {"at": time.time(), "running": False}
        balance, status = tracker.balance(), tracker.status()
        with self._lock:
            sample = self._history.add(now_s, balance, tracker.factors)
            return {
                "at": time.time(),
                "running": not self.closed,
                "sample": sample,
                "devices": device_rows(balance, self._history, now_s),
                "closure_error": balance.closure_error,
                "in_flight": {shortened(name): n for name, n in status.in_flight.items()},
                "errors": [[*key, n] for key, n in sorted(status.source_errors.items())],
                "dropped": dict(status.dropped_receipts),
                "self_cpu_s": round(status.self_cpu_s, 3),
                **self._tally.plain(),
            }
