"""What came of the replays: Shapley values beside receipts, and whether the sums close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Any

from benchmarks.gpu_truth.plan import Plan
from benchmarks.gpu_truth.shapley import Coalition, estimate
from inferprint import Range


@dataclass(frozen=True)
class Replay:
    """One measurement of a coalition.

    Args:
        draw: which of its measurements.
        coalition: who took part.
        rounds: how often each request was sent.
        length_s: how long was measured.
        energy_j: above idle, of one round.
        idle_w: of the quiet times before and after it.
        receipts: each player's receipts, active energy, one a round; None: not told apart.
    """

    draw: int
    coalition: Coalition
    rounds: int
    length_s: float
    energy_j: float
    idle_w: float
    receipts: Mapping[int, Sequence[Range | None]]


def energies(replays: Iterable[Replay]) -> dict[Coalition, list[float]]:
    """Each coalition's measured energy, one a draw."""
    found: dict[Coalition, list[float]] = {}
    for replay in replays:
        found.setdefault(replay.coalition, []).append(replay.energy_j)
    return found


def players(plan: Plan, replays: Sequence[Replay]) -> list[dict[str, Any]]:
    """A row for every player: what it used in truth, and what its receipts said of it when all
    players ran together.
    """
    rng = Random(f"{plan.seed} bootstrap")
    truth = estimate(plan.orders, energies(replays), rng, sampled=plan.sampled)
    together = [replay for replay in replays if replay.coalition == plan.everyone]
    rows = []
    for index, player in enumerate(plan.players):
        said = mean_range(r for replay in together for r in replay.receipts[index])
        row = {
            "player": player.name,
            "input_tokens": player.input_tokens,
            "output_tokens": player.output_tokens,
            **_columns("shapley", truth[index]),
            **_columns("receipt", said),
            "error_percent": None if said is None else _percent(said.mid, truth[index].mid),
        }
        rows.append(row)
    return rows


def together(plan: Plan, replays: Sequence[Replay], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Of all players running together: what was measured, and the sum of their receipts."""
    energy_j = fmean(energies(replays)[plan.everyone])
    receipts = [row["receipt_j"] for row in rows]
    known = None not in receipts
    return {
        "energy_j": energy_j,
        "receipts_j": sum(receipts) if known else None,
        "receipts_over_energy": sum(receipts) / energy_j if known and energy_j else None,
    }


def mean_range(ranges: Iterable[Range | None]) -> Range | None:
    """The mean, end by end; None where one is not known."""
    known = []
    for figure in ranges:
        if figure is None:
            return None
        known.append(figure)
    ends = zip(*((figure.low, figure.mid, figure.high) for figure in known), strict=True)
    return Range(*map(fmean, ends))


def coalition_rows(plan: Plan, replays: Sequence[Replay]) -> list[dict[str, Any]]:
    """A row for every measurement, in the order in which they were made."""
    return [
        {
            "players": [plan.players[member].name for member in sorted(replay.coalition)],
            "draw": replay.draw,
            "rounds": replay.rounds,
            "length_s": replay.length_s,
            "energy_j": replay.energy_j,
            "idle_w": replay.idle_w,
        }
        for replay in replays
    ]


def _columns(name: str, figure: Range | None) -> dict[str, float | None]:
    low, mid, high = (figure.low, figure.mid, figure.high) if figure else (None, None, None)
    return {f"{name}_j": mid, f"{name}_low_j": low, f"{name}_high_j": high}


def _percent(said: float, true: float) -> float | None:
    return 100 * (said / true - 1) if true else None


def receipts_over_active(replays: Sequence[Replay]) -> float | None:
    """The active energy on all receipts over what the meter counted above idle; None: not
    told apart on one of them.
    """
    active_j = sum(replay.energy_j * replay.rounds for replay in replays)
    receipts = [each for replay in replays for said in replay.receipts.values() for each in said]
    if any(each is None for each in receipts) or not active_j:
        return None
    return sum(each.mid for each in receipts if each is not None) / active_j
