"""A view as text for the terminal: tables where there is room, lists where there is not.

Names come from outside, so nothing of them reaches the terminal but printable characters, and
a part of those that are long. No colour says what words do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from inferprint.ranges import Range
from inferprint.readable import CARBON, figure
from inferprint_exporters.terminal.tables import Column, Row, section
from inferprint_exporters.terminal.view import DeviceRow, ModelRow, RequestRow, View

__all__ = ["page", "safe"]

UNKNOWN = "?"
LONGEST_NAME = 200
MORE_FROM = 120
"""Columns of a terminal from which tables have all that is known."""

LEAST_ROWS, LINES_BESIDE = 2, 16
"""Rows that a part of a live page has at least, and lines that are not rows."""

# A difference of running sums this small, relative to what they sum, is their last digit.
ROUNDING = 1e-9

TITLES = {
    "demo": "a demo load here",
    "devices": "this machine's devices",
    "metrics": "a server's metrics",
}


DEVICES = (
    Column("device", "names"),
    Column("power"),
    Column("idle"),
    Column("how it is known", "words"),
    Column("product", "names", from_width=MORE_FROM),
)
BOOKS = (
    Column("device", "names"),
    Column("used"),
    Column("active"),
    Column("idle"),
    Column("standing"),
    Column("not\ncharged"),
    Column("others"),
    Column("un-\nexplained"),
)
MODELS = (
    Column("model", "names"),
    Column("in\nflight"),
    Column("done"),
    Column("energy"),
    Column("per\nrequest"),
    Column("waiting"),
    Column("carbon"),
    Column("cost"),
    Column("wasted", from_width=MORE_FROM),
    Column("output\ntokens", from_width=MORE_FROM),
)
REQUESTS = (
    Column("request", "names"),
    Column("model", "names"),
    Column("time"),
    Column("out"),
    Column("energy so far"),
    Column("carbon"),
    Column("cost"),
    Column("how it is known", "words", from_width=MORE_FROM),
)


def safe(text: str) -> str:
    """What of a text may be shown: printable characters, on one line, and not too many."""
    cut = text[: LONGEST_NAME + 1]
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(cut.split()))
    return line if len(text) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def page(view: View, console: Console, *, live: bool = False) -> RenderableType:
    """The view for a terminal.

    Args:
        view: what is shown.
        console: says how wide and high it is.
        live: it is to fit: rows for which there is no line left are counted alone.
    """
    width = console.width
    most = max(LEAST_ROWS, (console.height - LINES_BESIDE) // 4) if live else None
    devices, models = view.devices[:most], view.models[:most]
    parts: list[RenderableType] = [_heading(view), *_notes(view)]
    parts += section("Devices", DEVICES, [_device(row) for row in devices], width)
    parts += _more(len(view.devices) - len(devices), "--once shows all")
    parts += section("Where the energy went", BOOKS, [_books(row) for row in devices], width)
    parts += section("Models", MODELS, [_model(row) for row in models], width)
    parts += _more(len(view.models) - len(models), "which used less")
    legend = Text("\n" + _legend(view, live), style="dim")
    room = len(view.requests or ())
    if live and view.requests:
        empty = _lines(console, [*parts, *_requests(view, 1, width), legend])
        each = _lines(console, [*parts, *_requests(view, 2, width), legend]) - empty
        room = 1 + max(0, (console.height - empty - 1) // max(1, each))
    return Group(*parts, *_requests(view, room, width), legend)


def _lines(console: Console, parts: Sequence[RenderableType]) -> int:
    return len(console.render_lines(Group(*parts)))


def _heading(view: View) -> Text:
    words = ["inferprint top", TITLES[view.mode]]
    words += [safe(view.address)] if view.address else []
    words.append(view.at[11:19] + " UTC")
    if view.grid is not None:
        where = f" in {safe(view.grid.location)}" if view.grid.location else ""
        words.append(f"{figure(view.grid.g_per_kwh, 'g')} CO2e/kWh{where}")
    return Text(" · ".join(words), style="bold")


def _notes(view: View) -> Iterator[Text]:
    if view.stale_s is not None:
        ago = figure(round(view.stale_s), "s")
        yield Text(f"STALE: these are the figures of {ago} ago.", style="bold red")
    yield from (Text(safe(note)) for note in view.notes)
    if view.faults:
        told = ", ".join(f"{safe(name)} {count}" for name, count in sorted(view.faults.items()))
        yield Text(f"Faults of power sources: {told}", style="yellow")
    if view.hosted_j is not None:
        said = f"Hosted models, estimated, in no other figure: {_joules(view.hosted_j)}"
        yield Text(said)


def _legend(view: View, live: bool) -> str:
    words = ["? is not known, never 0."]
    if view.models:
        words.append("waiting: the part of the energy that is idle or standing.")
    return " ".join([*words, "Ctrl-C ends it."] if live else words)


# ---- rows --------------------------------------------------------------------------------


def _device(row: DeviceRow) -> Row:
    how = row.provenance
    if row.power_w is None and row.age_s is not None:
        how += f", last read {figure(round(row.age_s), 's')} ago"
    power, idle = _known(row.power_w, "W"), _known(row.idle_w, "W")
    return safe(row.id), power, idle, safe(how), UNKNOWN if row.name is None else safe(row.name)


def _books(row: DeviceRow) -> Row:
    active_j = row.active_j
    if row.unsplit_j:
        active_j = None  # it stands in a sum with idle energy
    idle_j = None if row.unsplit_j else row.idle_j
    terms = (
        row.measured_j,
        active_j,
        idle_j,
        row.standing_j,
        row.uncharged_j,
        row.other_processes_j,
        row.unattributed_j,
    )
    return safe(row.id), *(_joules(term, row.measured_j) for term in terms)


def _model(row: ModelRow) -> Row:
    return (
        safe(row.model) or UNKNOWN,
        _count(row.in_flight),
        _count(row.requests),
        _joules(row.energy_j),
        _joules(row.request_j),
        UNKNOWN if row.waiting is None else f"{row.waiting:.0%}",
        _known(row.carbon_g, CARBON),
        _money(row.cost),
        _joules(row.wasted_j),
        _count(row.output_tokens),
    )


def _request(row: RequestRow) -> Row:
    return (
        safe(row.request_id),
        safe(row.model) or UNKNOWN,
        figure(row.duration_s, "s"),
        _count(row.output_tokens),
        _joules(row.energy_j),
        _known(row.carbon_g, CARBON),
        UNKNOWN if row.cost is None else figure(row.cost, safe(row.cost.currency)),
        row.provenance,
    )


def _known(value: Range | float | None, unit: str) -> str:
    return UNKNOWN if value is None else figure(value, unit)


def _joules(value: Range | float | None, of: float | None = None) -> str:
    if isinstance(value, float) and of and abs(value) < ROUNDING * of:
        value = 0.0
    return _known(value, "J")


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _money(cost: Mapping[str, float]) -> str:
    return ", ".join(figure(amount, safe(code)) for code, amount in cost.items()) or UNKNOWN


# ---- sections ----------------------------------------------------------------------------


def _requests(view: View, room: int, width: int) -> Iterator[RenderableType]:
    title = f"Requests in flight: {_count(view.in_flight)}"
    if not view.requests:
        yield Text("\n" + title, style="bold")
        return
    shown = view.requests[:room]
    yield from section(title, REQUESTS, [_request(row) for row in shown], width)
    yield from _more((view.in_flight or 0) - len(shown), "which began later")


def _more(count: int, said: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"and {count} more, {said}", style="dim")
