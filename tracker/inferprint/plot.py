"""Receipts as a picture: what each request's energy was for, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inferprint.errors import MissingExtra
from inferprint.receipt import Receipt
from inferprint.units import JOULES_PER_WH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_receipts"]

# Colours that readers with any colour vision can tell apart, as on the live page.
_PARTS = (
    ("active", "#2f66c8"),
    ("idle", "#e3a72f"),
    ("standing", "#d2542d"),
    ("overhead", "#8893a0"),
)
_WHOLE = ("active and idle not told apart", "#6a7f5f")


def plot_receipts(receipts: Sequence[Receipt], axes: Axes | None = None) -> Axes:
    """Draws a bar for each receipt, in Wh, stacked by part, in the order given.

    A receipt whose energy is not known has no bar but the word ``unknown``; a part that is not
    known is left out.

    Args:
        receipts: one bar each.
        axes: what to draw on; None: a new figure's, which is the caller's to show and close.

    Returns:
        The axes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise MissingExtra("plot_receipts", "plot") from error
    axes = axes or pyplot.subplots()[1]
    bottoms = [0.0] * len(receipts)
    for name, colour, heights in _stacks(receipts):
        axes.bar(range(len(receipts)), heights, bottom=bottoms, color=colour, label=name)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    for place, receipt in enumerate(receipts):
        if receipt.energy.total_j is None:
            axes.text(place, 0.0, " unknown", rotation=90, ha="center", va="bottom")
    axes.set_xticks(range(len(receipts)), [_named(one) for one in receipts], rotation=90)
    axes.set_ylabel("Wh")
    if receipts:
        axes.legend()
    return axes


def _stacks(receipts: Sequence[Receipt]) -> list[tuple[str, str, list[float]]]:
    """The name, colour and heights in Wh of each part that any receipt has."""
    stacks = [
        (name, colour, [_part_wh(one, f"{name}_j") for one in receipts]) for name, colour in _PARTS
    ]
    stacks.insert(0, (*_WHOLE, [_unsplit_wh(one) for one in receipts]))
    return [stack for stack in stacks if any(stack[2])]


def _part_wh(receipt: Receipt, part: str) -> float:
    found = getattr(receipt.energy, part)
    return 0.0 if found is None else found.mid / JOULES_PER_WH


def _unsplit_wh(receipt: Receipt) -> float:
    energy = receipt.energy
    if energy.total_j is None or energy.active_j is not None:
        return 0.0
    told = sum(_part_wh(receipt, part) for part in ("idle_j", "standing_j"))
    return max(0.0, energy.total_j.mid / JOULES_PER_WH - told)


def _named(receipt: Receipt) -> str:
    # matplotlib would read what stands between dollar signs as mathematics.
    return f"{receipt.model} {receipt.request_id}"[:40].replace("$", r"\$")
