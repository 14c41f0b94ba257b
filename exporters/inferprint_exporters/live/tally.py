"""Sums over receipts, of all and by model. Sums are of what is known, and say of how many."""

from __future__ import annotations

from collections import Counter
from typing import Any

from inferprint.flags import HOSTED
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint_exporters.live.rows import shortened, triple

__all__ = ["Tally"]

OTHER = "other models"
_PARTS = ("total", "active", "idle", "standing", "overhead")


class Sums:
    """What some receipts come to."""

    def __init__(self) -> None:
        self.requests = 0
        self.output_tokens = 0
        self.outcomes: Counter[str] = Counter()
        self.provenances: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self._sums: dict[str, Range] = {}

    def add(self, receipt: Receipt) -> None:
        """Adds one more."""
        self.requests += 1
        self.output_tokens += receipt.tokens.output or 0
        self.outcomes[receipt.outcome or "running"] += 1
        self.provenances[receipt.provenance] += 1
        for part in _PARTS:
            self._sum(part, getattr(receipt.energy, f"{part}_j"))
        self._sum("carbon", receipt.carbon)
        if receipt.cost is not None:
            self._sum(f"cost {receipt.cost.currency}", receipt.cost)

    def _sum(self, name: str, figure: Range | None) -> None:
        if figure is not None and triple(figure) is not None:
            self.known[name] += 1
            so_far = self._sums.get(name, Range.exactly(0.0))
            self._sums[name] = so_far + Range(figure.low, figure.mid, figure.high)

    def plain(self) -> dict[str, Any]:
        """Each sum as low, middle and high, and of how many receipts it is."""
        return {
            "requests": self.requests,
            "output_tokens": self.output_tokens,
            "outcomes": dict(self.outcomes),
            "provenances": dict(self.provenances),
            "sums": {name: triple(figure) for name, figure in self._sums.items()},
            "known": dict(self.known),
        }


class Tally:
    """The sums of all receipts, and of each model.

    A call to a model that runs elsewhere counts in its model's line, and not in the whole:
    that is of this machine, and no guess about another is added to it.

    Args:
        most_models: models with a line of their own; those past it share one.
    """

    def __init__(self, most_models: int = 100) -> None:
        self._most = most_models
        self._all = Sums()
        self._models: dict[tuple[str, bool], Sums] = {}

    def add(self, receipt: Receipt) -> None:
        """Adds one receipt."""
        hosted = HOSTED in receipt.flags
        if not hosted:
            self._all.add(receipt)
        key = (receipt.model, hosted)
        if key not in self._models and len(self._models) >= self._most:
            key = (OTHER, hosted)
        self._models.setdefault(key, Sums()).add(receipt)

    def plain(self) -> dict[str, Any]:
        """The sums, the models that used most first."""
        models = [
            {"model": shortened(model), "hosted": hosted, **sums.plain()}
            for (model, hosted), sums in self._models.items()
        ]
        models.sort(key=lambda line: -(line["sums"].get("total") or [0.0, 0.0])[1])
        return {"all": self._all.plain(), "models": models}
