"""The live page: requests as they end, what they cost, and the books of the devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inferprint.errors import MissingExtra
from inferprint_exporters.live.exporter import LiveExporter

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from inferprint import Tracker

__all__ = ["BADGE_JS", "LiveExporter", "live_app"]

BADGE_JS = Path(__file__).parent / "static" / "badge.js"
"""The file of the element ``<inferprint-badge>``, to serve on a page of one's own."""


def live_app(tracker: Tracker, hosts: Sequence[str] = ("*",)) -> Starlette:
    """The live page of a tracker as an ASGI application, to be mounted or served.

    Args:
        tracker: running or not; it gets one more exporter, so call this once.
        hosts: names that it may be asked by. All: whoever mounts it sees to that.

    Raises:
        MissingExtra: starlette is not installed.
    """
    try:
        from inferprint_exporters.live.app import page_app
    except ModuleNotFoundError as error:
        raise MissingExtra("the live page", "serve") from error
    live = LiveExporter(most_models=tracker.config.max_label_values)
    tracker.add_exporter(live)
    return page_app(live, hosts)
