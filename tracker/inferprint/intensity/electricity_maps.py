"""The grid's latest intensity from the Electricity Maps API.

``GET {url}/v3/carbon-intensity/latest?zone=`` with the header ``auth-token`` answers with ``zone``,
``carbonIntensity`` (gCO2eq/kWh), ``datetime`` (the start of what it is of), ``emissionFactorType``,
``isEstimated``, ``estimationMethod`` and, in v4, ``temporalGranularity``.
Source: Electricity Maps, API reference, https://portal.electricitymaps.com/docs/api.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inferprint.grid import LIFE_CYCLE, NAME, UNIT
from inferprint.impacts import Factor
from inferprint.intensity.feed import Fault
from inferprint.intensity.series import Slot
from inferprint.intensity.tables import number, unix_s
from inferprint.intensity.web import Web
from inferprint.units import SECONDS_PER_HOUR

__all__ = ["ElectricityMaps", "parse_latest"]

VARIABLE = "INFERPRINT_ELECTRICITY_MAPS_TOKEN"
MEND = f"Set a token that has this zone, and start anew: export {VARIABLE}=<token>"

_LENGTH_S = {"5_minutes": 300.0, "15_minutes": 900.0, "hourly": SECONDS_PER_HOUR}


class ElectricityMaps:
    """A zone of Electricity Maps.

    Args:
        zone: such as ``FR`` or ``US-CAL-CISO``.
        token: of an account there.
        url: the service; with ``/v3`` where it names no version.
        web: asks it.
    """

    def __init__(self, zone: str, token: str, url: str, web: Web) -> None:
        self.name, self.basis = f"electricity_maps:{zone}", LIFE_CYCLE
        base = url.rstrip("/")
        base = base if re.search(r"/v\d+$", base) else f"{base}/v3"
        self._url, self._zone, self._token, self._web = base, zone, token, web

    def fetch(self, now_s: float) -> Sequence[Slot]:
        """The value of the latest hour."""
        answer = self._web.get(
            f"{self._url}/carbon-intensity/latest",
            params={"zone": self._zone, "emissionFactorType": "lifecycle"},
            headers={"auth-token": self._token},
        )
        return [parse_latest(answer, self._zone, now_s)]


def parse_latest(answer: object, zone: str, now_s: float) -> Slot:
    """What an answer says.

    Args:
        answer: its JSON.
        zone: what was asked for.
        now_s: Unix time.

    Raises:
        Fault: it is no such answer, of another zone or basis, or of a time to come.
    """
    if not isinstance(answer, dict):
        raise Fault("the answer is no object")
    # Where it does not know a zone, the service may answer for the place of the caller.
    if str(answer.get("zone")).lower() != zone.lower():
        raise Fault(f"asked for zone {zone!r}, it answered for {answer.get('zone')!r}", "zone")
    if answer.get("emissionFactorType", "lifecycle") != "lifecycle":
        kind = answer["emissionFactorType"]
        raise Fault(f"asked for life-cycle intensity, it answered with {kind!r}", "basis")
    try:
        start_s = unix_s(answer.get("datetime"))
        value = number(answer.get("carbonIntensity"))
    except ValueError as error:
        raise Fault(f"the answer can't be used: {error}") from None
    if start_s > now_s + SECONDS_PER_HOUR:
        said = f"the answer is of {answer['datetime']}, which is still to come"
        raise Fault(f"{said}: check this machine's clock: timedatectl status", "clock")
    length_s = _LENGTH_S.get(str(answer.get("temporalGranularity")), SECONDS_PER_HOUR)
    factor = Factor(NAME, value, UNIT, _source(answer), zone, basis=LIFE_CYCLE)
    return Slot(start_s, start_s + length_s, factor)


def _source(answer: Mapping[str, Any]) -> str:
    if not answer.get("isEstimated"):
        return "Electricity Maps"
    method = re.sub(r"[^\w .-]", "", str(answer.get("estimationMethod") or ""))[:40]
    return f"Electricity Maps (estimated{': ' if method else ''}{method})"
