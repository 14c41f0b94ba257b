"""A recomputed figure, and what the rows are computed with: requests on a clock moved by hand."""

from __future__ import annotations

import contextvars
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferprint import Config, Range, Receipt, Tracker
from inferprint.testing import FakeClock, FakeSource

J_PER_WH, J_PER_KWH, S_PER_HOUR = 3600.0, 3.6e6, 3600.0


@dataclass(frozen=True)
class Row:
    """One quantity of a published result.

    Args:
        row: its number in the table of the README.
        quantity: what it is.
        unit: of both values.
        published: as published.
        got: as recomputed; None: what it would be computed from was not published.
        exact: whether what it is computed from is published exactly, so that the two must
            agree; else the note says what was chosen.
        note: source and method.
    """

    row: int
    quantity: str
    unit: str
    published: float
    got: float | None
    exact: bool
    note: str


def served(
    energy_j: Mapping[str, float],
    *,
    duration_s: float = 1.0,
    in_flight: int = 1,
    windows: int = 1,
    idle_j: Mapping[str, float] | None = None,
    **settings: Any,
) -> Receipt:
    """The receipt of one of several alike requests that run together.

    Args:
        energy_j: joules of each component above idle, of one request.
        duration_s: how long they run.
        in_flight: how many they are.
        windows: how many times the meters are read meanwhile.
        idle_j: joules of idle energy of each component, of one request.
        **settings: of the tracker.
    """
    clock = FakeClock()
    idle = idle_j or {}
    sources = {
        name: FakeSource(
            clock,
            f"{name}:0",
            name,  # type: ignore[arg-type]
            idle_w=idle.get(name, 0.0) * in_flight / duration_s,
        )
        for name in {*energy_j, *idle}
    }
    config = Config(idle_policy="in_flight", **settings)
    with Tracker(config, sources=list(sources.values()), clock=clock) as tracker:
        requests = [tracker.request("m") for _ in range(in_flight)]
        contexts = [contextvars.Context() for _ in requests]
        for context, request in zip(contexts, requests, strict=True):
            context.run(request.__enter__)
        for _ in range(windows):
            for name, source in sources.items():
                used_j = energy_j.get(name, 0.0) + idle.get(name, 0.0)
                source.add(used_j * in_flight / windows)
            clock.advance(duration_s / windows)
            tracker.sample()
        for context, request in zip(contexts, requests, strict=True):
            context.run(request.__exit__, None, None, None)
        tracker.flush()
        return requests[0].receipt()


@contextmanager
def factors_file(**values: tuple[float, str]) -> Iterator[str]:
    """A file of factors; ``name__region`` gives a value and its unit."""
    rows = ['[source.published]\ntitle = "the published result"\nlicence = "figure quoted"\n']
    for name, (value, unit) in values.items():
        factor, _, region = name.partition("__")
        rows.append(
            f'[[factor]]\nname = "{factor}"\nregion = "{region.replace("_", ":")}"\n'
            f'value = {value}\nunit = "{unit}"\nsource = "published"\n'
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "factors.toml"
        path.write_text("\n".join(rows), encoding="utf-8")
        yield str(path)


def known(figure: Range | None) -> float:
    """The middle of a figure that must be known here."""
    assert figure is not None
    return figure.mid
