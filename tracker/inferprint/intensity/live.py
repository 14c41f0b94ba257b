"""A source that is asked again and again, in a thread of its own.

Whoever wants a value gets the latest that is at hand, and never waits. What goes wrong is
logged once until the source answers again; meanwhile the last values hold, flagged once they
are old, and the source is asked at growing intervals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from inferprint.intensity import cache
from inferprint.intensity.feed import Fault, Feed
from inferprint.intensity.known import Known
from inferprint.intensity.series import Series, Slot

__all__ = ["HISTORY_S", "THREAD_NAME", "Live", "backoff_s"]

log = logging.getLogger("inferprint")

THREAD_NAME = "inferprint-intensity"
# What ended longer ago is forgotten.
HISTORY_S = 2 * 86_400.0
# After how many refreshes that brought nothing the values are old.
PATIENCE = 3
# How long to wait, when stopping, for a source that hangs.
JOIN_S = 2.0
_MOST_S = 86_400.0


def backoff_s(refresh_s: float, failures: int) -> float:
    """How long to wait after failures: from a sixteenth of the interval up to four of them.

    Args:
        refresh_s: seconds between two looks where all is well.
        failures: how many there were in a row, at least 1.
    """
    return refresh_s * 2.0 ** min(failures - 5, 2)


class Live:
    """The latest values of a source.

    Args:
        feed: the source.
        refresh_s: seconds between two looks.
        cache_path: a file that keeps them over a restart; None: none does.
        now: wall time, Unix seconds.
    """

    def __init__(
        self,
        feed: Feed,
        refresh_s: float,
        cache_path: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._feed, self._refresh_s, self._cache_path, self._now = feed, refresh_s, cache_path, now
        self._series = Series()
        self._fetched_s = 0.0
        self._said: set[str] = set()
        self._failures = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if cache_path is not None:
            self._load(cache_path)

    def over(self, start_s: float, end_s: float) -> Known:
        """The mean over a span, of what is at hand."""
        return self._series.over(start_s, end_s)

    def start(self) -> None:
        """Asks from now on; does nothing where that is so already.

        In the child of a fork it is called anew: there, the parent's thread is not alive.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        # A new one: that of before may be held by a thread that a fork left behind.
        self._stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(self._stop,), name=THREAD_NAME, daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._say("thread", error)
        else:
            self._thread = thread

    def close(self) -> None:
        """Asks no more."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_S)

    def look(self) -> Fault | None:
        """Asks once, here; what went wrong, where something did."""
        now_s = self._now()
        try:
            self._take(self._feed.fetch(now_s), now_s)
        except Exception as error:  # noqa: BLE001 - a fault of ours may not end the asking
            return self._failed(error, now_s)
        if self._failures:
            log.info("carbon intensity of %s: all is well again", self._feed.name)
        self._said &= {"cache"}
        self._failures = 0
        return None

    def _run(self, stop: threading.Event) -> None:
        wait_s = self._fetched_s + self._refresh_s - self._now()
        while not stop.wait(min(max(0.0, wait_s), self._refresh_s)):
            fault = self.look()
            while fault is not None:
                wait_s = max(backoff_s(self._refresh_s, self._failures), fault.retry_after_s)
                if stop.wait(min(wait_s, _MOST_S)):
                    return
                fault = self.look()
            wait_s = self._refresh_s

    def _take(self, slots: Sequence[Slot] | None, now_s: float) -> None:
        until_s = now_s + PATIENCE * self._refresh_s
        if slots is None:
            self._series = self._series.renewed(until_s)
            return
        self._series = self._series.with_slots(slots, now_s - HISTORY_S, until_s)
        self._fetched_s = now_s
        if self._cache_path is not None:
            try:
                cached = cache.Cached(now_s, self._series.slots)
                cache.save(self._cache_path, self._feed.name, cached)
            except OSError as error:
                self._say("cache", error)

    def _load(self, path: Path) -> None:
        try:
            cached = cache.load(path, self._feed.name)
            if cached is None:
                return
            if any(slot.factor.basis != self._feed.basis for slot in cached.slots):
                raise ValueError(f"its basis is not {self._feed.basis!r}")
            until_s = cached.fetched_s + PATIENCE * self._refresh_s
            self._series = Series(cached.slots, until_s)
            self._fetched_s = min(cached.fetched_s, self._now())
        except (OSError, ValueError) as error:
            self._say("cache", ValueError(f"{path} can't be used: {error}"))

    def _failed(self, error: Exception, now_s: float) -> Fault:
        fault = error if isinstance(error, Fault) else Fault(str(error), type(error).__name__)
        self._failures += 1
        self._say(fault.kind, error)
        if fault.withdrawn:
            self._series = self._series.renewed(min(now_s, self._series.renewed_until_s))
        return fault

    def _say(self, kind: str, error: Exception) -> None:
        if kind not in self._said:
            self._said.add(kind)
            log.warning("carbon intensity of %s: %s (said once)", self._feed.name, error)
