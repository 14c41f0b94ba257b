"""The receipt: what one request used, itemised, with ranges and sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any

from inferprint.records import (
    Carbon,
    ComponentEnergy,
    Cost,
    Energy,
    Factor,
    IdlePolicyName,
    Outcome,
    Provenance,
    Range,
    Tokens,
    weakest,
)

@dataclass(frozen=True, slots=True)
class Receipt:
    """The footprint of one request, settled or, from ``estimate()``, provisional.

    Args:
        request_id: unique, also in the reply's header and in exemplars.
        model: the model's name as given.
        labels: the labels as given.
        outcome: ``ok``, ``error`` or ``cancelled``; None while it runs.
        started_at: wall time of the start, for people; durations never use it.
        duration_s: seconds on the monotonic clock.
        time_to_first_token_s: seconds to the first output token; None where none was told.
        tokens: as told.
        energy: itemised joules.
        carbon, water, materials, primary_energy, cost: what the energy means; None while
            the factors for it are not known.
        idle_policy: who pays for idle energy.
        attribution_method: how the active energy of a window was shared.
        provenance: the weakest provenance among the components.
        flags: what a careful reader should know, such as ``idle_unknown``, ``short``.
        factors: every number that it was computed with, and its source.
        children: the receipts of the requests that ran inside this one. Their energy is
            not in this one's: ``with_children()`` adds it.
    """

    request_id: str
    model: str
    labels: Mapping[str, str]
    outcome: Outcome | None
    started_at: datetime
    duration_s: float
    time_to_first_token_s: float | None
    tokens: Tokens
    energy: Energy
    idle_policy: IdlePolicyName
    attribution_method: str
    provenance: Provenance
    carbon: Carbon | None = None
    water: Range | None = None
    materials: Range | None = None
    primary_energy: Range | None = None
    cost: Cost | None = None
    flags: frozenset[str] = frozenset()
    factors: tuple[Factor, ...] = ()
    children: tuple[Receipt, ...] = ()
