"""What keeping a model loaded costs, and when unloading it would cost less.

A machine with a model loaded draws its idle power whether or not requests come. Loading the
model again costs its load energy E once for each request that finds it unloaded. Where requests
come at a rate r, far enough apart that each would find it unloaded, keeping it loaded draws
P / r for each request and unloading it E: unloading saves where r < P / E, with P the power that
unloading would save: idle power less what the bare machine goes on drawing.
"""

from __future__ import annotations

from typing import Any

from inferprint.ranges import Range
from inferprint.units import SECONDS_PER_HOUR
from inferprint_exporters.report.question import Question
from inferprint_exporters.report.reading import Load
from inferprint_exporters.report.tally import Tally

__all__ = ["keeping_loaded", "resident"]

NO_LOAD = (
    "the energy of loading it is not known: make a request of the label phase=load around the "
    "loading, or give --load-energy-j"
)
NO_IDLE = "its idle power is not known"
NO_RATE = "fewer than two requests: there is no rate"
NO_BARE = (
    "an upper bound: the power of the bare machine, which unloading does not save, is not known; "
    "give --bare-idle-w"
)


def resident(tally: Tally) -> dict[str, Any]:
    """The share of idle energy, of the energy in which it can be told apart."""
    active, idle, standing = (tally.figure(n) for n in ("active_j", "idle_j", "standing_j"))
    if active is None or idle is None or standing is None:
        return {"share": None, "share_range": None, "idle_and_standing_j": None}
    waiting = idle.range + standing.range
    share = _share(waiting.mid, active.range.mid)
    low, high = (
        _share(waiting.low, active.range.high),
        _share(waiting.high, active.range.low),
    )
    between = None if low is None or high is None else {"low": low, "high": high}
    return {"share": share, "share_range": between, "idle_and_standing_j": waiting.mid}


def _share(part: float, other: float) -> float | None:
    return part / (part + other) if part + other > 0 else None


def keeping_loaded(tally: Tally, load: Load | None, question: Question) -> dict[str, Any]:
    """What keeping one model loaded costs for each request, and the rate that it needs.

    Args:
        tally: of the model.
        load: what loading it took; None: no request was labelled so.
        question: gives the load energy and the power of the bare machine where they are known.
    """
    served = tally.requests - (load.loads if load else 0)
    loading = _load_energy(load, question)
    watts, rate = _idle_power(tally), _rate_per_hour(tally, served)
    needed = _break_even(watts, loading, question.bare_idle_w)
    found = resident(tally)
    waiting = found["idle_and_standing_j"]
    of_loads = load.idle_j + load.standing_j if load else 0.0
    each = (waiting - of_loads) / served if waiting is not None and served > 0 else None
    return {
        "share": found["share"],
        "j_per_request": each,
        "idle_power_w": watts,
        "requests_per_hour": rate,
        "load_energy_j": loading and {"low": loading.low, "mid": loading.mid, "high": loading.high},
        "loads": load.loads if load else 0,
        "break_even_requests_per_hour": needed,
        "unloading_would_save": None if needed is None or rate is None else rate < needed,
        "notes": _notes(watts, rate, loading, question),
    }


def _load_energy(load: Load | None, question: Question) -> Range | None:
    """Joules to load it once."""
    if question.load_energy_j is not None:
        return Range.exactly(question.load_energy_j)
    if load is None or not load.known:
        return None
    return Range(load.low_j, load.mid_j, load.high_j) * (1 / load.known)


def _idle_power(tally: Tally) -> float | None:
    """Watts: a request's idle energy is its share of the machine's seconds times them."""
    seconds = tally.sum("reserved_with_idle_s")
    return tally.sum("idle_of_reserved_j") / seconds if seconds > 0 else None


def _rate_per_hour(tally: Tally, served: int) -> float | None:
    return served / tally.span_s * SECONDS_PER_HOUR if served > 1 and tally.span_s > 0 else None


def _break_even(watts: float | None, load: Range | None, bare_w: float | None) -> float | None:
    if watts is None or load is None or load.mid <= 0:
        return None
    return max(0.0, watts - (bare_w or 0.0)) / load.mid * SECONDS_PER_HOUR


def _notes(
    watts: float | None, rate: float | None, load: Range | None, question: Question
) -> list[str]:
    notes = []
    if load is None:
        notes.append(NO_LOAD)
    elif question.bare_idle_w is None:
        notes.append(NO_BARE)
    if watts is None:
        notes.append(NO_IDLE)
    if rate is None:
        notes.append(NO_RATE)
    return notes
