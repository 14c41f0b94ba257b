"""Shows one view after the other, on a terminal, as plain text or as JSON lines."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from inferprint_exporters.terminal.page import page
from inferprint_exporters.terminal.view import View

__all__ = ["Shown", "show"]


class Shown:
    """Where views go, and in which form.

    Args:
        as_json: one JSON object a line.
        colour: None: as the terminal and NO_COLOR have it; False: none.
    """

    def __init__(self, *, as_json: bool, colour: bool | None = None) -> None:
        # Where the terminal's encoding has no µ, another spelling of it beats an error.
        if reconfigure := getattr(sys.stdout, "reconfigure", None):
            reconfigure(errors="backslashreplace")
        self.as_json = as_json
        no_colour = True if colour is False else None
        self.console = Console(no_color=no_colour, highlight=False, markup=False, emoji=False)

    @property
    def is_live(self) -> bool:
        """Whether views replace each other on a screen."""
        console = self.console
        return not self.as_json and console.is_terminal and not console.is_dumb_terminal

    def once(self, view: View) -> None:
        """Prints a view."""
        if self.as_json:
            sys.stdout.write(json.dumps(view.to_dict(), allow_nan=False) + "\n")
            sys.stdout.flush()
        else:
            self.console.print(page(view, self.console))


def show(take: Callable[[], View], shown: Shown, interval_s: float) -> None:
    """Shows views until it is interrupted.

    Args:
        take: gives the view of now.
        shown: where they go.
        interval_s: seconds between two of them.
    """
    if not shown.is_live:
        wait = threading.Event().wait
        shown.once(take())
        while not wait(interval_s):
            if not shown.as_json:
                shown.console.print()
            shown.once(take())
    console = shown.console
    with Live(console=console, screen=True, auto_refresh=False) as live, _resized() as changed:
        while True:
            view = take()
            changed.clear()
            live.update(page(view, console, live=True), refresh=True)
            while changed.wait(interval_s):
                changed.clear()
                live.update(page(view, console, live=True), refresh=True)


@contextmanager
def _resized() -> Iterator[threading.Event]:
    """An event that is set when the terminal gets another size."""
    changed = threading.Event()
    if not hasattr(signal, "SIGWINCH"):
        yield changed
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: changed.set())
    try:
        yield changed
    finally:
        signal.signal(signal.SIGWINCH, before)
