"""From a settled account to a receipt: sums over devices, ranges, flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from inferprint import flags
from inferprint.attribution import Ledger
from inferprint.footprint import footprint
from inferprint.impacts import Factor
from inferprint.items import Part, itemised, work_energy
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import (
    IdlePolicyName,
    Provenance,
    weakest,
)
from inferprint.stakes import Earned, Stake
from inferprint.uncertainty import ItemDoubts
from inferprint.units import seconds

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.factors import Factors
    from inferprint.quote import Quote
    from inferprint.request import Request


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
        _part(ledger, stake, account.paid.get(ledger.place) or ledger.earned(stake), duration_s)
        for ledger, stake in _stakes(account)
    )
    said = frozenset({flags.MISSING_READING}) if account.paid or account.unread else frozenset()
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
    books, has_ended = account.books, account.ended_ns is not None
    sharers = has_ended + (books.running if books is not None else 0)
    parts = tuple(
        _expected(
            ledger,
            stake,
            account.started_ns,
            until_ns,
            # On a device that others don't run on, fewer share.
            sharers if books is None or not books.parted else has_ended + books.running_on(ledger),
        )
        for ledger, stake in _stakes(account)
    )
    said = frozenset({flags.PROVISIONAL})
    if account.unread:
        said |= {flags.MISSING_READING}
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
        work=work_energy(settled.parts, request.tokens),
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
