"""Bars on long work: on a terminal alone, on standard error alone."""

from __future__ import annotations

from inferprint_exporters.progress import tracked
from screens import on_screen
from support import run_python

SCRIPT = """
import time
from inferprint_exporters.progress import tracked
for _ in tracked(range(3), "[red]rows", {total}): time.sleep(0.2)
print("done")
"""
BUSY = """
import time
from inferprint_exporters.progress import busy
with busy("[red]Reading"): time.sleep(0.3)
print("done")
"""


def written(script: str) -> str:
    """What a terminal gets of a script."""
    with on_screen("-W", "error", "-c", script) as screen:
        while screen._read(10.0):
            pass
    return screen.written


def test_items_are_handed_on() -> None:
    """As they come, in their order, and none before it is asked for."""
    asked = iter(tracked(iter("abc"), "letters"))
    assert next(asked) == "a"
    assert list(asked) == ["b", "c"]


def test_a_terminal_shows_how_many_are_done() -> None:
    """The number of all that there are, or of those so far; a name is no markup."""
    assert "[red]rows" in (known := written(SCRIPT.format(total=None)))
    assert "/3" in known
    assert "done" in known
    counted = written(SCRIPT.format(total=None).replace("range(3)", "(n for n in range(3))"))
    assert "/?" in counted


def test_no_terminal_sees_nothing() -> None:
    """In a pipe there is what the script prints, and no more."""
    result = run_python("-c", SCRIPT.format(total=3))
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_what_cannot_be_counted_is_said_to_go_on() -> None:
    """On a terminal, until it is done; an error goes through; in a pipe there is nothing."""
    assert "[red]Reading" in written(BUSY)
    assert "done" in written(BUSY)
    assert "ValueError" in written(BUSY.replace("time.sleep(0.3)", "raise ValueError"))
    result = run_python("-c", BUSY)
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_without_rich_it_works_on_without_a_bar() -> None:
    """The work goes on; nothing is said of it."""
    script = "import sys; sys.modules['rich'] = None\n" + SCRIPT.format(total=3)
    assert written(script).strip() == "done"
    assert written("import sys; sys.modules['rich'] = None\n" + BUSY).strip() == "done"
