"""The trackers of this process: stopped when it ends, and renewed in its children."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING

from inferprint.request import forget_current
from inferprint.threads import renew_threads

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["begin", "known"]

known: weakref.WeakSet[Tracker] = weakref.WeakSet()
"""Those that are not stopped."""


def begin() -> None:
    """A tracker begins to measure: it is to be stopped when this process ends.

    The processes that multiprocessing makes, by fork or from its fork server, end without what
    ``atexit`` knows; only what its own list knows is done.
    """
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _stop_all, exitpriority=0)


def _stop_all() -> None:
    for tracker in list(known):
        tracker._end()


def _renew_all() -> None:
    renew_threads()
    forget_current()
    for tracker in list(known):
        tracker._after_fork()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
