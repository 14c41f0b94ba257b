"""Records as plain lists for the wire, and back. Pure.

Fields go by their place, so both ends must be of the same version, which the greeting checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from inferprint.factors import Factors
from inferprint.hardware import Hardware
from inferprint.impacts import Factor, Training
from inferprint.items import Part
from inferprint.learning.crowd import Crowd
from inferprint.learning.record import Spread, Usual
from inferprint.learning.work import Work
from inferprint.outlook import DeviceOutlook, Found, ModelOutlook, Outlook
from inferprint.ranges import Range
from inferprint.records import WEAKEST_FIRST, Balance, Device, DeviceBalance, MeterBalance
from inferprint.settlement import Settlement
from inferprint.stakes import Earned
from inferprint.uncertainty import Doubt, ItemDoubts, WorkPart

_PLACE_OF = {name: place for place, name in enumerate(WEAKEST_FIRST)}
_FACTORS = ("carbon_intensity", "pue", "electricity_price", "wue_site", "water_grid")
_MORE_FACTORS = ("adpe_grid", "primary_energy_grid")
_DEVICE = tuple(one.name for one in fields(Device) if one.name not in ("aliases", "flags"))
_HARDWARE = tuple(one.name for one in fields(Hardware) if one.name != "factors")


# ---- settlements --------------------------------------------------------------------------


def settlement_to_plain(
    settled: Settlement, children: Sequence[int], places: Mapping[str, int]
) -> list[Any]:
    """What the books said of a request.

    Args:
        settled: it.
        children: the numbers of the requests that ran inside it.
        places: of the devices, in what the agent said it is.
    """
    return [
        sorted(settled.said),
        settled.method,
        settled.reserved_s,
        [_part_to_plain(part, places) for part in settled.parts],
        children,
    ]


def settlement_from_plain(
    plain: Sequence[Any], devices: Sequence[Device], idle_policy: Any, children: tuple[Any, ...]
) -> Settlement:
    """What ``settlement_to_plain`` was given, with the requests themselves as ``children``."""
    said, method, reserved_s, parts, _ = plain
    return Settlement(
        tuple(_part_from_plain(part, devices) for part in parts),
        frozenset(said),
        idle_policy,
        method,
        children,
        reserved_s,
    )


def _part_to_plain(part: Part, places: Mapping[str, int]) -> list[Any]:
    return [
        places[part.device.id],
        part.earned,
        _PLACE_OF[part.provenance],
        list(part.said),
        part.doubts,
        part.work,
    ]


def _part_from_plain(plain: Sequence[Any], devices: Sequence[Device]) -> Part:
    place, earned, provenance, said, doubts, work = plain
    return Part(
        devices[place],
        Earned(*earned),
        WEAKEST_FIRST[provenance],
        frozenset(said),
        ItemDoubts(*(Doubt(*one) for one in doubts)),
        None if work is None else WorkPart(*work[:3], *(Doubt(*one) for one in work[3:])),
    )


# ---- what the agent is --------------------------------------------------------------------


def device_to_plain(device: Device) -> list[Any]:
    """A device."""
    return [*(getattr(device, name) for name in _DEVICE), sorted(device.flags)]


def device_from_plain(plain: Sequence[Any]) -> Device:
    """What ``device_to_plain`` was given."""
    *others, said = plain
    found: dict[str, Any] = dict(zip(_DEVICE, others, strict=True))
    return Device(**found, flags=frozenset(said))


def factor_to_plain(factor: Factor | None) -> list[Any] | None:
    """A factor."""
    return None if factor is None else [getattr(factor, one.name) for one in fields(Factor)]


def factor_from_plain(plain: Sequence[Any] | None) -> Factor | None:
    """What ``factor_to_plain`` was given."""
    return None if plain is None else Factor(*plain)


def factors_to_plain(factors: Factors) -> list[Any]:
    """What energy and time mean."""
    hardware, training = factors.hardware, factors.training
    return [
        [factor_to_plain(getattr(factors, name)) for name in (*_FACTORS, *_MORE_FACTORS)],
        factors.currency,
        [_ends(getattr(hardware, name)) for name in _HARDWARE],
        [factor_to_plain(factor) for factor in hardware.factors],
        None if training is None else [_ends(training.energy_j), _ends(training.carbon_g)],
        sorted(factors.said),
    ]


def factors_from_plain(plain: Sequence[Any]) -> Factors:
    """What ``factors_to_plain`` was given."""
    named, currency, hardware, pieces, training, said = plain
    names = (*_FACTORS, *_MORE_FACTORS)
    found: dict[str, Any] = dict(zip(names, map(factor_from_plain, named), strict=True))
    ranges = dict(zip(_HARDWARE, map(_range, hardware), strict=True))
    return Factors(
        **found,
        currency=currency,
        hardware=Hardware(**ranges, factors=tuple(Factor(*one) for one in pieces)),
        training=None if training is None else Training(*map(_range, training)),
        said=frozenset(said),
    )


def _ends(figure: Range | None) -> list[float] | None:
    return None if figure is None else [figure.low, figure.mid, figure.high]


def _range(ends: Sequence[float] | None) -> Range | None:
    return None if ends is None else Range(*ends)


# ---- books and outlook --------------------------------------------------------------------


def balance_to_plain(balance: Balance) -> list[dict[str, list[Any]]]:
    """The books of the devices, and of meters of the whole machine."""
    return [_books(balance.devices, DeviceBalance), _books(balance.meters, MeterBalance)]


def _books(of: Mapping[str, Any], kind: Any) -> dict[str, list[Any]]:
    names = [one.name for one in fields(kind)]
    return {id_: [getattr(books, name) for name in names] for id_, books in of.items()}


def balance_from_plain(plain: Sequence[Mapping[str, Sequence[Any]]]) -> Balance:
    """What ``balance_to_plain`` was given."""
    devices, meters = plain
    return Balance(
        {device_id: DeviceBalance(*books) for device_id, books in devices.items()},
        {device_id: MeterBalance(*books) for device_id, books in meters.items()},
    )


def outlook_to_plain(outlook: Outlook, places: Mapping[str, int]) -> list[Any]:
    """What is known of requests to come; ``places`` as for ``settlement_to_plain``."""
    devices = [
        [places[one.device.id], one.shared_w, dict(one.price_j), one.idle_w, one.standing_j]
        for one in outlook.devices
    ]
    return [outlook.crowd, devices, dict(outlook.models)]


def outlook_from_plain(plain: Sequence[Any], devices: Sequence[Device]) -> Outlook:
    """What ``outlook_to_plain`` was given."""
    crowd, found, models = plain
    return Outlook(
        Crowd(*crowd),
        tuple(
            DeviceOutlook(
                devices[place],
                shared_w,
                {model: Work(*price) for model, price in prices.items()},
                idle_w,
                standing_j,
            )
            for place, shared_w, prices, idle_w, standing_j in found
        ),
        {model: _model_from_plain(known) for model, known in models.items()},
    )


def _model_from_plain(plain: Sequence[Any]) -> ModelOutlook:
    prompt_rate, waiting, output_rate, usual, known, guessed = plain
    both = [Found(*(Spread(*one) for one in found)) for found in (known, guessed)]
    return ModelOutlook(prompt_rate, waiting, output_rate, Usual(*usual), *both)
