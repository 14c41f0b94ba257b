"""From a settled account to a receipt: sums over devices, ranges, flags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferprint import flags
from inferprint.attribution import Ledger
from inferprint.footprint import footprint
from inferprint.impacts import Factor
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import (
    ComponentEnergy,
    Device,
    Energy,
    IdlePolicyName,
    Provenance,
    Tokens,
    WorkEnergy,
    weakest,
)
from inferprint.stakes import Earned, Stake
from inferprint.uncertainty import Doubt, ItemDoubts, WorkPart, half_width_j
from inferprint.units import seconds

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.factors import Factors
    from inferprint.quote import Quote
    from inferprint.request import Request


class Part(NamedTuple):
    """What one device charged to a request."""

    device: Device
    earned: Earned
    provenance: Provenance
    said: frozenset[str]
    doubts: ItemDoubts
    work: WorkPart | None = None


class Settlement(NamedTuple):
    """What the books said of a request when it was settled, or when it was asked for.

    Args:
        parts: one for each device.
        said: flags beside those of the parts.
        idle_policy: who pays for idle energy.
        method: how active energy was shared.
        children: the requests that ran inside it and were settled with it.
        reserved_s: seconds of the machine, shared alike among those in flight; None: unknown.
    """

    parts: tuple[Part, ...]
    said: frozenset[str]
    idle_policy: IdlePolicyName
    method: str
    children: tuple[Request, ...] = ()
    reserved_s: float | None = None


def settlement(account: Account, idle_policy: IdlePolicyName) -> Settlement:
    """What the books say of a request that was settled."""
    ended_ns = account.started_ns if account.ended_ns is None else account.ended_ns
    duration_s = seconds(ended_ns - account.started_ns)
    parts = tuple(
        _part(ledger, stake, account.paid.get(place) or ledger.earned(stake), duration_s)
        for place, (ledger, stake) in enumerate(_stakes(account))
    )
    said = frozenset({flags.MISSING_READING}) if account.paid else frozenset()
    reserved_s = _reserved_s(account, ended_ns)
    return Settlement(
        parts, said, idle_policy, _method(account), tuple(account.children), reserved_s
    )


def _part(ledger: Ledger, stake: Stake, earned: Earned, duration_s: float) -> Part:
    provenance, said = ledger.provenance_of(stake), ledger.said(stake)
    doubts = ledger.doubts_of(stake, earned, duration_s)
    work = ledger.work_of(stake, earned.active_j, duration_s)
    return Part(ledger.device, earned, provenance, said, doubts, work)


def provisional(account: Account, idle_policy: IdlePolicyName, until_ns: int) -> Settlement:
    """What the books will say of a request, as far as can be told before its windows close.

    Args:
        account: its account.
        idle_policy: who pays for idle energy.
        until_ns: its end, or now.
    """
    sharers = account.books.running if account.books is not None else 0
    sharers += account.ended_ns is not None
    parts = tuple(
        _expected(ledger, stake, account.started_ns, until_ns, sharers)
        for ledger, stake in _stakes(account)
    )
    said = frozenset({flags.PROVISIONAL})
    reserved_s = _reserved_s(account, until_ns)
    if reserved_s is None and account.books is not None:  # no window has closed since it started
        reserved_s = seconds(until_ns - account.started_ns) / max(1, sharers)
    return Settlement(parts, said, idle_policy, _method(account), reserved_s=reserved_s)


def _reserved_s(account: Account, until_ns: int) -> float | None:
    return account.books.reserved_s(account, until_ns) if account.books is not None else None


def _expected(ledger: Ledger, stake: Stake, started_ns: int, until_ns: int, sharers: int) -> Part:
    expected = ledger.expected(stake, started_ns, until_ns, sharers)
    if expected is None:
        nothing = Earned(0.0, 0.0, 0.0)
        return Part(ledger.device, nothing, "unknown", ledger.said(stake), ItemDoubts())
    prorated: tuple[Provenance, ...] = (ledger.provenance, "prorated")
    part = _part(ledger, stake, expected, seconds(until_ns - started_ns))
    return part._replace(provenance=weakest(prorated))


def _method(account: Account) -> str:
    methods = dict.fromkeys(ledger.method_of(stake) for ledger, stake in _stakes(account))
    return "+".join(methods) or "none"


def _stakes(account: Account) -> Sequence[tuple[Ledger, Stake]]:
    return account.books.stakes_of(account) if account.books is not None else ()


def receipt_of(
    request: Request,
    settled: Settlement,
    started_at: datetime,
    duration_s: float,
    factors: Factors,
    intensity: Factor | None = None,
) -> Receipt:
    """The receipt of a request.

    Args:
        request: gives its name, tokens and outcome.
        settled: what the books said.
        started_at: wall time of its start.
        duration_s: from its start to its end, or to now.
        factors: what its energy and time mean.
        intensity: carbon intensity of its hours; None: the factors'.
    """
    energy, provenance = itemised(settled.parts)
    meaning = footprint(energy.total_j, factors, settled.reserved_s, intensity)
    said = settled.said.union(meaning.flags, *(part.said for part in settled.parts))
    if request.tokens_unreadable:
        said |= {flags.TOKENS_UNREADABLE}
    if request.tokens_counted:
        said |= {flags.TOKENS_COUNTED}
    if request._guard is not None:
        said |= request._guard.flags(energy.total_j)
    return Receipt(
        request_id=request.request_id,
        model=request.model,
        labels=dict(request.labels),
        outcome=request.outcome,
        started_at=started_at,
        duration_s=duration_s,
        time_to_first_token_s=request.time_to_first_token_s,
        tokens=request.tokens,
        energy=replace(energy, overhead_j=meaning.overhead_j),
        idle_policy=settled.idle_policy,
        attribution_method=settled.method,
        provenance=provenance,
        carbon=meaning.carbon,
        water=meaning.water,
        materials=meaning.materials,
        primary_energy=meaning.primary_energy,
        cost=meaning.cost,
        flags=said,
        factors=factors.as_tuple(intensity),
        children=tuple(child.receipt(timeout=0) for child in settled.children),
        work=_work(settled.parts, request.tokens),
        quote=request._quote,
        quote_error_ratio=(
            None if flags.PROVISIONAL in said else _error_ratio(energy.total_j, request._quote)
        ),
        reserved_s=settled.reserved_s,
        training=meaning.training,
    )


def _error_ratio(total_j: Range | None, quote: Quote | None) -> float | None:
    quoted_j = quote.energy.total_j if quote is not None else None
    if total_j is None or quoted_j is None or quoted_j.mid <= 0:
        return None
    return total_j.mid / quoted_j.mid


def _work(parts: Iterable[Part], tokens: Tokens) -> WorkEnergy | None:
    """What active energy was for, and the own work of each token."""
    known = [part.work for part in parts if part.work is not None]
    if not known:
        return None
    shared_j = _range(sum(work.shared_j for work in known), [work.shared for work in known])
    prompt_j = _range(sum(work.prompt_j for work in known), [work.prompt for work in known])
    output_j = _range(sum(work.output_j for work in known), [work.output for work in known])
    computed = (tokens.input or 0) - (tokens.cached_input or 0)
    return WorkEnergy(
        shared_j,
        prompt_j,
        output_j,
        prompt_j * (1 / computed) if computed > 0 else None,
        output_j * (1 / tokens.output) if tokens.output else None,
    )


def itemised(parts: Iterable[Part]) -> tuple[Energy, Provenance]:
    """The energy of a request by its parts, without the site's overhead, and how it is known."""
    by_component = _by_component(parts)
    items = _Items()
    for component in by_component.values():
        items.add_items(component)
    energy = Energy(
        active_j=items.split(0),
        idle_j=items.split(1),
        standing_j=items.item(2),
        overhead_j=None,
        total_j=items.total(),
        by_component={name: found.energy() for name, found in by_component.items()},
    )
    return energy, weakest(items.provenances)


class _Items:
    """Active, idle and standing energy and their sum, in joules, each with its errors.

    Devices have sensors of their own, so their errors are independent.
    """

    __slots__ = ("doubts", "known", "mids_j", "provenances", "unsplit")

    def __init__(self) -> None:
        self.mids_j = [0.0, 0.0, 0.0]
        self.doubts: list[ItemDoubts] = []
        self.provenances: list[Provenance] = []
        self.known = self.unsplit = False

    def add(self, part: Part) -> None:
        """Adds what one device charged."""
        self.provenances.append(part.provenance)
        if part.provenance == "unknown":
            return
        self.known = True
        self.unsplit |= flags.IDLE_UNKNOWN in part.said
        self.doubts.append(part.doubts)
        for i, joules in enumerate(part.earned):
            self.mids_j[i] += joules

    def add_items(self, items: _Items) -> None:
        """Adds what one component charged."""
        self.provenances += items.provenances
        self.known |= items.known
        self.unsplit |= items.unsplit
        self.doubts += items.doubts
        for i in range(3):
            self.mids_j[i] += items.mids_j[i]

    def item(self, i: int) -> Range | None:
        """One of the three; None: not known."""
        return _range(self.mids_j[i], [doubts[i] for doubts in self.doubts]) if self.known else None

    def split(self, i: int) -> Range | None:
        """Active or idle energy; None where the two can't be told apart."""
        return None if self.unsplit else self.item(i)

    def total(self) -> Range | None:
        """The sum of all three."""
        if not self.known:
            return None
        return _range(sum(self.mids_j), [doubts.total for doubts in self.doubts])

    def energy(self) -> ComponentEnergy:
        """The same as a record."""
        provenance = weakest(self.provenances)
        return ComponentEnergy(self.split(0), self.split(1), self.item(2), self.total(), provenance)


def _by_component(parts: Iterable[Part]) -> dict[str, _Items]:
    by_component: dict[str, _Items] = {}
    for part in parts:
        component = part.device.component
        if component not in by_component:
            by_component[component] = _Items()
        by_component[component].add(part)
    return by_component


def _range(mid_j: float, doubts: Sequence[Doubt]) -> Range:
    half_j = half_width_j(doubts)
    # Nothing that was used is less than nothing.
    return Range(max(0.0, mid_j - half_j), mid_j, mid_j + half_j)
