"""Rows of text as a table, or as a list where a table does not fit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["Column", "Row", "section"]

GAP, LEAST_NAME = 2, 8
"""Between two columns of a table, and what a name may be cut to."""

STYLES = {"measured": "green", "prorated": "green", "modelled": "yellow", "unknown": "red"}


class Column(NamedTuple):
    """A heading; what its cells are, which tells where they stand and whether they can be cut;
    and from which width there is room for it.
    """

    heading: str
    cells: Literal["names", "words", "figures"] = "figures"
    from_width: int = 0


Row = Sequence[str]


def section(
    title: str, columns: Sequence[Column], rows: Sequence[Row], width: int
) -> Iterator[RenderableType]:
    """A heading, and what stands below it.

    Args:
        title: the heading.
        columns: from left to right; the first tells the rows apart.
        rows: a cell for each column, safe to be shown.
        width: columns of the terminal.
    """
    yield Text("\n" + title, style="bold")
    if not rows:
        yield Text("none yet", style="dim")
        return
    shown = [place for place, column in enumerate(columns) if width >= column.from_width]
    cells = [[row[place] for place in shown] for row in rows]
    of = [columns[place] for place in shown]
    # Before rich 14.3 the last column has a gap behind it too, and what does not fit is left out.
    widths = _widths(of, cells, width - GAP * len(of))
    if widths is not None:
        yield _table(of, cells, widths)
    else:
        yield from (_listed(of, row, width) for row in cells)


def _widths(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Sequence[int] | None:
    """How wide each column is; None: they do not fit. Names give way to the rest, as a figure
    that is cut would be another one.
    """
    widest = [
        max(map(cell_len, [*column.heading.split("\n"), *(row[place] for row in rows)]))
        for place, column in enumerate(columns)
    ]
    widths = [
        min(most, LEAST_NAME) if column.cells == "names" else most
        for column, most in zip(columns, widest, strict=True)
    ]
    spare = width - sum(widths)
    for place, most in enumerate(widest):
        more = min(most - widths[place], max(0, spare))
        widths[place] += more
        spare -= more
    return None if spare < 0 else widths


def _table(columns: Sequence[Column], rows: Sequence[Row], widths: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.heading,
            justify="right" if column.cells == "figures" else "left",
            no_wrap=True,
            overflow="ellipsis",
            vertical="bottom",
            width=width,
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(text: str) -> Text:
    return Text(text, style=STYLES.get(text, ""))


def _listed(columns: Sequence[Column], row: Row, width: int) -> Text:
    told = ", ".join(map(_told, columns[1:], row[1:]))
    lines = textwrap.wrap(told, max(1, width - 2))
    # A figure and its unit stay together: for textwrap, not for rich, this is no space.
    text = "\n".join([row[0], *("  " + line.replace("\u00a0", " ") for line in lines)])
    return Text(text, no_wrap=True, overflow="ellipsis")


def _told(column: Column, cell: str) -> str:
    heading = column.heading.replace("-\n", "").replace("\n", " ")
    told = f"{heading} {cell}" if column.cells == "figures" else cell
    return told.replace(" ", "\u00a0")
