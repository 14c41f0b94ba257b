"""Reads the footprint that a reply carries, from whichever server, as one kind of record.

Understood are replies of ours (``usage.footprint``), of Neuralwatt (``energy`` with
``energy_joules``), GreenPT (``impact``) and OpenGateLLM (``usage.carbon``): as mappings, as
objects of client libraries, as JSON, as chunks of a stream, and as the comments ``: energy {...}``
of a stream of events.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from inferprint import flags
from inferprint.impacts import Carbon, Cost, Water
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import WEAKEST_FIRST, Energy, Provenance, Tokens
from inferprint.tokens import read_tokens
from inferprint.units import JOULES_PER_KWH

__all__ = ["footprint_in", "footprint_in_stream"]

COMMENT = ": energy "
J_PER = {"wms": 1e-3, "mws": 1e-3, "ws": 1.0, "j": 1.0, "wh": 3600.0, "kwh": JOULES_PER_KWH}
G_PER = {"ugco2e": 1e-6, "mgco2e": 1e-3, "gco2e": 1.0, "kgco2e": 1e3}
MS_PER_S = 1000.0


def footprint_in(reply: object) -> Receipt | None:
    """The footprint in a reply.

    Args:
        reply: a mapping, an object of a client library such as openai's, or JSON.

    Returns:
        A receipt with what was told, and None for all that was not; None: there is no footprint.
        ``attribution_method`` and ``provenance`` are as told; where none was told, the method is
        who told it, and the provenance ``unknown``.
    """
    found = _mapping(reply)
    usage = _mapping(found.get("usage"))
    for told, read in (
        (usage.get("footprint"), _ours),
        (found.get("energy"), _neuralwatt),
        (found.get("impact"), _greenpt),
        (usage.get("carbon") or usage.get("impacts"), _opengatellm),
    ):
        if part := _mapping(told):
            return read(part, found)
    return None


def footprint_in_stream(lines: Iterable[str | bytes]) -> Receipt | None:
    """The footprint in a stream of events: the last that it told of.

    Args:
        lines: of the stream.

    Returns:
        As ``footprint_in``; a chunk's footprint wins over a comment's.
    """
    chunk: Receipt | None = None
    comment: Receipt | None = None
    for line in lines:
        text = (line.decode("utf-8", "replace") if isinstance(line, bytes) else line).strip()
        if text.startswith(COMMENT):
            energy = _mapping(text.removeprefix(COMMENT))
            comment = _neuralwatt(energy, {}) if energy else comment
        elif text.startswith("data:"):
            chunk = footprint_in(text.removeprefix("data:").strip()) or chunk
    return chunk or comment


def _mapping(value: object) -> Mapping[str, Any]:
    """A value as a mapping; empty where it is none."""
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    dump = getattr(value, "model_dump", None)  # pydantic's, as in the openai client's replies
    if not isinstance(value, Mapping) and callable(dump):
        value = dump()
    return value if isinstance(value, Mapping) else {}


def _ours(told: Mapping[str, Any], reply: Mapping[str, Any]) -> Receipt:
    ends, cost = _mapping(told.get("carbon_grams")), _mapping(told.get("cost"))
    amount, litres = _number(cost.get("amount")), _number(told.get("water_liters"))
    grams = [_number(ends.get(name)) for name in ("low", "mid", "high")]
    said = {flags.HOSTED} | ({flags.PROVISIONAL} if told.get("is_estimated") else set())
    return _receipt(
        reply,
        request_id=str(told.get("request_id") or ""),
        total=_exactly(told.get("energy_joules")),
        active=_exactly(told.get("active_joules")),
        idle=_exactly(told.get("idle_joules")),
        carbon=None if None in grams else Carbon(*grams),  # type: ignore[arg-type]
        water=None if litres is None else Water(litres, litres, litres),
        cost=None if amount is None else Cost(amount, amount, amount, str(cost.get("currency"))),
        method=str(told.get("attribution_method") or "unknown"),
        provenance=_provenance(told.get("provenance")),
        said=frozenset(said),
    )


def _neuralwatt(told: Mapping[str, Any], reply: Mapping[str, Any]) -> Receipt | None:
    kwh = _number(told.get("energy_kwh"))
    total = _exactly(told.get("energy_joules"))
    if total is None and kwh is not None:
        total = Range.exactly(kwh * JOULES_PER_KWH)
    grams = _number(told.get("carbon_g_co2eq"))
    return _receipt(
        reply,
        total=total,
        carbon=None if grams is None else Carbon(grams, grams, grams),
        method=str(told.get("attribution_method") or "neuralwatt"),
        duration_s=_number(told.get("duration_seconds")),
    )


def _greenpt(told: Mapping[str, Any], reply: Mapping[str, Any]) -> Receipt | None:
    joules, grams = _amount(told.get("energy"), J_PER), _amount(told.get("emissions"), G_PER)
    return _receipt(
        reply,
        total=None if joules is None else Range.exactly(joules),
        carbon=None if grams is None else Carbon(grams, grams, grams),
        method="greenpt",
        duration_s=_amount(told.get("inferenceTime"), {"ms": 1 / MS_PER_S, "s": 1.0}),
    )


def _opengatellm(told: Mapping[str, Any], reply: Mapping[str, Any]) -> Receipt | None:
    kwh, kilograms = _ends(told.get("kWh")), _ends(told.get("kgCO2eq"))
    grams = None if kilograms is None else kilograms * G_PER["kgco2e"]
    return _receipt(
        reply,
        total=None if kwh is None else kwh * JOULES_PER_KWH,
        carbon=None if grams is None else Carbon(grams.low, grams.mid, grams.high),
        method="opengatellm",
    )


def _receipt(
    reply: Mapping[str, Any],
    *,
    total: Range | None,
    method: str,
    request_id: str = "",
    active: Range | None = None,
    idle: Range | None = None,
    carbon: Carbon | None = None,
    water: Water | None = None,
    cost: Cost | None = None,
    duration_s: float | None = None,
    provenance: Provenance = "unknown",
    said: frozenset[str] = frozenset({flags.HOSTED}),
) -> Receipt:
    return Receipt(
        request_id=request_id or str(reply.get("id") or ""),
        model=str(reply.get("model") or ""),
        labels={},
        outcome="ok",
        started_at=_time(reply.get("created")),
        duration_s=duration_s,
        time_to_first_token_s=None,
        tokens=_tokens(reply),
        energy=Energy(active, idle, None, None, total, {}),
        idle_policy="separate",
        attribution_method=method,
        provenance=provenance,
        carbon=carbon,
        water=water,
        cost=cost,
        flags=said,
    )


def _time(told: object) -> datetime | None:
    unix_s = _number(told)
    try:
        return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    except (OverflowError, OSError, ValueError):  # a time that no calendar has
        return None


def _tokens(reply: Mapping[str, Any]) -> Tokens:
    try:
        return read_tokens(reply.get("usage")) or Tokens()
    except ValueError:
        return Tokens()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _exactly(value: object) -> Range | None:
    number = _number(value)
    return None if number is None else Range.exactly(number)


def _amount(told: object, per: Mapping[str, float]) -> float | None:
    """A total with its unit; None: one of them is not known."""
    found = _mapping(told)
    total, unit = _number(found.get("total")), str(found.get("unit")).lower()
    return None if total is None or unit not in per else total * per[unit]


def _ends(told: object) -> Range | None:
    found = _mapping(told)
    low, high = (_number(found.get(name)) for name in ("min", "max"))
    if low is None or high is None:
        return _exactly(told)
    return Range(low, (low + high) / 2, high)


def _provenance(told: object) -> Provenance:
    for known in WEAKEST_FIRST:
        if known == told:
            return known
    return "unknown"
