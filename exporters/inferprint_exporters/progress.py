"""A bar or a spinner on standard error for work that takes long, while somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["busy", "tracked"]

T = TypeVar("T")


def tracked(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Hands items on, and shows on standard error how many of them are done.

    It shows nothing where standard error is no terminal, or rich (the extra ``terminal``) is not
    installed; standard output has none of it. The bar goes away at the end.

    Args:
        items: what is worked on; one is done when the next is asked for.
        what: they are, such as ``receipts``.
        total: how many they are; None: ``len`` of them, or not known.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ModuleNotFoundError:
        yield from items
        return
    # Without markup: what is worked on may be named after a file.
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    console = Console(stderr=True, markup=False, emoji=False)
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=what)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Shows on standard error that something is being done, of which no part can be counted.

    Where it shows nothing is as for ``tracked``.

    Args:
        what: is done, such as ``Reading the store``.
    """
    if not sys.stderr.isatty():
        yield
        return
    try:
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError:
        yield
        return
    with Console(stderr=True).status(Text(what)):
        yield
