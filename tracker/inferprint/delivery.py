"""Hands settled receipts to the exporters, none of which can hold up another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from inferprint.receipt import Receipt

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["Exporter"]


@runtime_checkable
class Exporter(Protocol):
    """Where receipts go. Found by name in the entry point group ``inferprint.exporters``,
    whose entries are callables ``(Config) -> Exporter``, or passed to ``Tracker``.

    Each exporter is called from one thread, its own, one call at a time.
    """

    name: str

    def start(self, tracker: Tracker) -> None:
        """The tracker starts. ``tracker.balance()`` and ``tracker.status()`` may be asked
        at any time from now on, from any thread."""
        ...

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Takes settled receipts, in the order in which they were settled."""
        ...

    def close(self) -> None:
        """The tracker stops: no more receipts come. Called also when ``start`` raised."""
        ...
