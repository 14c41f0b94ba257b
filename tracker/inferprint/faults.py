"""What has gone wrong and was kept from requests: counted, and logged once of each kind."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from inferprint.errors import SourceError

__all__ = ["Faults"]

log = logging.getLogger("inferprint")


class Faults:
    """Counts faults by where they happened and by their kind."""

    def __init__(self) -> None:
        self.errors: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    def fault(self, where: str, error: BaseException) -> None:
        """Counts a fault, and logs the first of its kind."""
        kind = error.kind if isinstance(error, SourceError) else type(error).__name__
        if self.count(where, kind):
            log.warning("%s: %s: %s (said once)", where, type(error).__name__, error)

    def count(self, where: str, kind: str, times: int = 1) -> bool:
        """Counts what needs no words; whether it is the first of its kind."""
        with self._counting:
            first = not self.errors[where, kind]
            self.errors[where, kind] += times
        return first
