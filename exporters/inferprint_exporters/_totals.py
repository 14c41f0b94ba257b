"""The running totals of receipts, as Prometheus wants them: counters and histograms."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from inferprint.flags import HOSTED
from inferprint.receipt import Receipt
from inferprint.records import ComponentEnergy, Tokens
from inferprint_exporters._families import Values
from inferprint_exporters._histogram import (
    DURATION_BOUNDS_S,
    ENERGY_BOUNDS_J,
    FIRST_TOKEN_BOUNDS_S,
    QUOTE_ERROR_BOUNDS,
    Histogram,
    Trace,
)

__all__ = ["Totals"]

# OpenMetrics 1.0: names and values of an exemplar's labels have at most 128 characters.
_LONGEST_TRACE_ID = 128 - len("request_id")

_Counter = defaultdict[tuple[str, ...], float]


class Totals:
    """Sums over receipts. Not locked: its owner does that."""

    def __init__(self) -> None:
        self._request_j = defaultdict[tuple[str, ...], Histogram](
            partial(Histogram, ENERGY_BOUNDS_J)
        )
        self._duration_s = defaultdict[tuple[str, ...], Histogram](
            partial(Histogram, DURATION_BOUNDS_S)
        )
        self._first_token_s = defaultdict[tuple[str, ...], Histogram](
            partial(Histogram, FIRST_TOKEN_BOUNDS_S)
        )
        self._quote_error = defaultdict[tuple[str, ...], Histogram](
            partial(Histogram, QUOTE_ERROR_BOUNDS)
        )
        self._energy_j = defaultdict[tuple[str, str], dict[str, float]](lambda: defaultdict(float))
        self._first_started_s: dict[tuple[str, ...], float] = {}
        self._wasted_j = _Counter(float)
        self._hosted_j = _Counter(float)
        self._tokens = _Counter(float)
        self._carbon_g = _Counter(float)
        self._water_l = _Counter(float)
        self._cost = _Counter(float)

    def add(self, receipt: Receipt, model: str, unix_s: float) -> None:
        """Adds a settled receipt.

        Args:
            receipt: its ``mid`` figures are added; its children come as receipts of their own.
                Of a call to a model elsewhere, energy alone, apart from all that was measured.
            model: the value of the model label.
            unix_s: wall time, for exemplars.
        """
        energy = receipt.energy
        if HOSTED in receipt.flags:
            if energy.total_j is not None:
                self._hosted_j[model,] += energy.total_j.mid
            return
        outcome = receipt.outcome or "unknown"
        if energy.total_j is not None:
            total_j = energy.total_j.mid
            self._request_j[model, outcome].observe(total_j, _trace(receipt, unix_s))
            if outcome != "ok":
                self._wasted_j[model, outcome] += total_j
        for component, part in energy.by_component.items():
            self._add_component(model, component, part)
        self._add_times(receipt, model, outcome)
        if receipt.quote_error_ratio is not None:
            self._quote_error[model,].observe(receipt.quote_error_ratio)
        self._add_tokens(model, receipt.tokens)
        self._add_footprint(model, receipt)

    def _add_times(self, receipt: Receipt, model: str, outcome: str) -> None:
        if receipt.started_at is not None:
            self._first_started_s.setdefault((model,), receipt.started_at.timestamp())
        if receipt.duration_s is not None:
            self._duration_s[model, outcome].observe(receipt.duration_s)
        if receipt.time_to_first_token_s is not None:
            self._first_token_s[model,].observe(receipt.time_to_first_token_s)

    def _add_component(self, model: str, component: str, part: ComponentEnergy) -> None:
        phases = self._energy_j[model, component]
        itemised_j = 0.0
        for phase, joules in (
            ("active", part.active_j),
            ("idle", part.idle_j),
            ("standing", part.standing_j),
        ):
            if joules is not None:
                phases[phase] += joules.mid
                itemised_j += joules.mid
        if part.active_j is None and part.total_j is not None:
            phases["unsplit"] += max(0.0, part.total_j.mid - itemised_j)

    def _add_tokens(self, model: str, tokens: Tokens) -> None:
        if tokens.input is not None:
            self._tokens[model, "input"] += tokens.input
        if tokens.cached_input is not None:
            self._tokens[model, "cached_input"] += tokens.cached_input
        if tokens.output is not None:
            self._tokens[model, "output"] += tokens.output

    def _add_footprint(self, model: str, receipt: Receipt) -> None:
        carbon, cost = receipt.carbon, receipt.cost
        if carbon is not None and carbon.operational_g is not None:
            self._carbon_g[model, "operational"] += carbon.operational_g.mid
        if carbon is not None and carbon.embodied_g is not None:
            self._carbon_g[model, "embodied"] += carbon.embodied_g.mid
        if receipt.water is not None:
            self._water_l[model,] += receipt.water.mid
        # A counter cannot fall, so what a negative price gives back is left to receipts.
        if cost is not None and cost.mid >= 0:
            self._cost[model, cost.currency] += cost.mid

    def snapshot(self) -> Values:
        """A copy of all totals by family name."""
        return {
            "inferprint_request_energy_joules": _copies(self._request_j),
            "inferprint_request_duration_seconds": _copies(self._duration_s),
            "inferprint_time_to_first_token_seconds": _copies(self._first_token_s),
            "inferprint_quote_error_ratio": _copies(self._quote_error),
            "inferprint_model_first_request_timestamp_seconds": self._first_started_s.copy(),
            "inferprint_energy_joules_total": {
                (*labels, phase): joules
                for labels, phases in self._energy_j.items()
                for phase, joules in phases.items()
            },
            "inferprint_wasted_energy_joules_total": self._wasted_j.copy(),
            "inferprint_hosted_energy_joules_total": self._hosted_j.copy(),
            "inferprint_tokens_total": self._tokens.copy(),
            "inferprint_carbon_grams_total": self._carbon_g.copy(),
            "inferprint_water_liters_total": self._water_l.copy(),
            "inferprint_cost_total": self._cost.copy(),
        }


def _trace(receipt: Receipt, unix_s: float) -> Trace | None:
    label, id_ = "trace_id", receipt.labels.get("trace_id")
    if not id_:
        label, id_ = "request_id", receipt.request_id
    return (label, id_, unix_s) if id_.isascii() and len(id_) <= _LONGEST_TRACE_ID else None


def _copies(
    histograms: defaultdict[tuple[str, ...], Histogram],
) -> dict[tuple[str, ...], Histogram]:
    return {labels: histogram.copy() for labels, histogram in histograms.items()}
