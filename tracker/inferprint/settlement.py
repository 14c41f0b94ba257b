"""From a settled account to a receipt: sums over devices, ranges, flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferprint import flags
from inferprint.attribution import Earned, Ledger
from inferprint.footprint import footprint
from inferprint.receipt import Receipt
from inferprint.records import (
    ComponentEnergy,
    Device,
    Energy,
    IdlePolicyName,
    Provenance,
    Range,
    weakest,
)

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.factors import Factors
    from inferprint.request import Request
    from inferprint.stakes import Stake


class Part(NamedTuple):
    """What one device charged to a request."""

    device: Device
    earned: Earned
    provenance: Provenance
    said: frozenset[str]


class Settlement(NamedTuple):
    """What the books said of a request when it was settled, or when it was asked for.

    Args:
        parts: one for each device.
        said: flags beside those of the parts.
        idle_policy: who pays for idle energy.
        method: how active energy was shared.
        children: the requests that ran inside it and were settled with it.
    """

    parts: tuple[Part, ...]
    said: frozenset[str]
    idle_policy: IdlePolicyName
    method: str
    children: tuple[Request, ...] = ()


def settlement(account: Account, idle_policy: IdlePolicyName) -> Settlement:
    """What the books say of a request that was settled."""
    parts = tuple(
        Part(
            ledger.device,
            account.paid.get(place) or ledger.earned(stake),
            ledger.provenance_of(stake),
            ledger.said(stake),
        )
        for place, (ledger, stake) in enumerate(_stakes(account))
    )
    said = frozenset({flags.MISSING_READING}) if account.paid else frozenset()
    return Settlement(parts, said, idle_policy, _method(account), tuple(account.children))


def provisional(account: Account, idle_policy: IdlePolicyName, until_ns: int) -> Settlement:
    """What the books will say of a request, as far as can be told before its windows close.

    Args:
        account: its account.
        idle_policy: who pays for idle energy.
        until_ns: its end, or now.
    """
    parts = tuple(
        Part(
            ledger.device,
            *_expected(ledger, stake, account.started_ns, until_ns),
            ledger.said(stake),
        )
        for ledger, stake in _stakes(account)
    )
    said = frozenset({flags.PROVISIONAL})
    return Settlement(parts, said, idle_policy, _method(account))


def _expected(
    ledger: Ledger, stake: Stake, started_ns: int, until_ns: int
) -> tuple[Earned, Provenance]:
    expected = ledger.expected(stake, started_ns, until_ns)
    if expected is None:
        return Earned(0.0, 0.0, 0.0), "unknown"
    prorated: tuple[Provenance, ...] = (ledger.provenance, "prorated")
    return expected, weakest(prorated)


def _method(account: Account) -> str:
    methods = dict.fromkeys(ledger.weights.method for ledger, _ in _stakes(account))
    return "+".join(methods) or "none"


def _stakes(account: Account) -> Sequence[tuple[Ledger, Stake]]:
    return account.books.stakes_of(account) if account.books is not None else ()


def receipt_of(
    request: Request, settled: Settlement, started_at: datetime, duration_s: float, factors: Factors
) -> Receipt:
    """The receipt of a request.

    Args:
        request: gives its name, tokens and outcome.
        settled: what the books said.
        started_at: wall time of its start.
        duration_s: from its start to its end, or to now.
        factors: what energy means.
    """
    components = _components(settled.parts)
    total_j = _sum(component.total_j for component in components.values())
    meaning = footprint(total_j, factors)
    said = settled.said.union(meaning.flags, *(part.said for part in settled.parts))
    if request.tokens_unreadable:
        said |= {flags.TOKENS_UNREADABLE}
    energy = Energy(
        active_j=_sum_if_all_known(components, "active_j"),
        idle_j=_sum_if_all_known(components, "idle_j"),
        standing_j=_sum(component.standing_j for component in components.values()),
        overhead_j=meaning.overhead_j,
        total_j=total_j,
        by_component=components,
    )
    return Receipt(
        request_id=request.request_id,
        model=request.model,
        labels=request.labels,
        outcome=request.outcome,
        started_at=started_at,
        duration_s=duration_s,
        time_to_first_token_s=request.time_to_first_token_s,
        tokens=request.tokens,
        energy=energy,
        idle_policy=settled.idle_policy,
        attribution_method=settled.method,
        provenance=weakest(component.provenance for component in components.values()),
        carbon=meaning.carbon,
        cost=meaning.cost,
        flags=said,
        factors=factors.as_tuple(),
        children=tuple(child.receipt(timeout=0) for child in settled.children),
    )


def _components(parts: Iterable[Part]) -> dict[str, ComponentEnergy]:
    by_component: dict[str, list[Part]] = {}
    for part in parts:
        by_component.setdefault(part.device.component, []).append(part)
    return {name: _component(found) for name, found in by_component.items()}


def _component(parts: list[Part]) -> ComponentEnergy:
    known = [part for part in parts if part.provenance != "unknown"]
    provenance = weakest(part.provenance for part in parts)
    if not known:
        return ComponentEnergy(None, None, None, None, provenance)
    active_j, idle_j, standing_j = (
        _sum(Range.within(part.earned[i], part.device.relative_error) for part in known)
        for i in range(3)
    )
    total_j = _sum((active_j, idle_j, standing_j))
    if any(flags.IDLE_UNKNOWN in part.said for part in known):
        active_j = idle_j = None
    return ComponentEnergy(active_j, idle_j, standing_j, total_j, provenance)


def _sum(ranges: Iterable[Range | None]) -> Range | None:
    """The sum of those that are known; None of none."""
    known = [figure for figure in ranges if figure is not None]
    return sum(known[1:], known[0]) if known else None


def _sum_if_all_known(components: Mapping[str, ComponentEnergy], name: str) -> Range | None:
    known = [c for c in components.values() if c.total_j is not None]
    figures = [getattr(component, name) for component in known]
    return None if None in figures else _sum(figures)
