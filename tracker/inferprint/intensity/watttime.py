"""The grid's marginal intensity from the WattTime API, version 3.

``GET {url}/login`` with basic authentication answers with a ``token`` for half an hour;
``GET {url}/v3/forecast?region=&signal_type=co2_moer&horizon_hours=`` with it, from now on,
``data`` of ``point_time`` and ``value``, and ``meta`` with ``region``, ``units`` and
``data_point_period_seconds``. The marginal operating emissions rate counts the CO2 of the power
plants that answer to a change in demand. Source: WattTime, API reference, https://docs.watttime.org.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from inferprint.grid import NAME, UNIT
from inferprint.impacts import Factor
from inferprint.intensity.feed import Fault
from inferprint.intensity.series import Slot
from inferprint.intensity.tables import number, unix_s
from inferprint.intensity.web import Web, is_token

__all__ = ["BASIS", "G_PER_KWH", "WattTime", "parse_forecast"]

USERNAME, PASSWORD = "INFERPRINT_WATTTIME_USERNAME", "INFERPRINT_WATTTIME_PASSWORD"
MEND = (
    "Set an account that has this region, and start anew: "
    f"export {USERNAME}=<name> {PASSWORD}=<password>"
)
BASIS = "marginal, location-based, direct, CO2 alone"
UNITS = "lbs_co2_per_mwh"
# The pound is 0.45359237 kg by definition: International yard and pound agreement (1959); NIST
# Special Publication 811 (2008), appendix B.8. lb/MWh is then so many kg/MWh, which is g/kWh.
G_PER_KWH = 0.45359237

HORIZON_HOURS = 24
# Tokens last for 30 minutes.
TOKEN_S = 25 * 60.0


class WattTime:
    """A region of WattTime.

    Args:
        region: such as ``CAISO_NORTH``.
        username, password: of an account there.
        url: the service.
        web: asks it.
    """

    def __init__(self, region: str, username: str, password: str, url: str, web: Web) -> None:
        self.name, self.basis = f"watttime:{region}", BASIS
        self._region, self._account, self._web = region, (username, password), web
        self._url = url.rstrip("/").removesuffix("/v3")
        self._token, self._token_until_s = "", -math.inf

    def fetch(self, now_s: float) -> Sequence[Slot]:
        """The forecast from now on."""
        fresh = self._login()
        try:
            answer = self._forecast()
        except Fault as fault:
            if fault.kind != "refused":
                raise
            self._token_until_s = -math.inf
            if fresh:
                raise
            self._login()
            answer = self._forecast()
        return parse_forecast(answer, self._region, now_s)

    def _login(self) -> bool:
        if time.monotonic() < self._token_until_s:
            return False
        answer = self._web.get(f"{self._url}/login", auth=self._account)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not is_token(token):
            raise Fault(f"{self._url}/login: the answer has no token")
        self._token, self._token_until_s = str(token), time.monotonic() + TOKEN_S
        return True

    def _forecast(self) -> Any:
        return self._web.get(
            f"{self._url}/v3/forecast",
            params={
                "region": self._region,
                "signal_type": "co2_moer",
                "horizon_hours": HORIZON_HOURS,
            },
            headers={"Authorization": f"Bearer {self._token}"},
        )


def parse_forecast(answer: object, region: str, now_s: float) -> list[Slot]:
    """What an answer says.

    Args:
        answer: its JSON.
        region: what was asked for.
        now_s: Unix time.

    Raises:
        Fault: it is no such answer, of another region or in another unit.
    """
    meta, data = _parts(answer)
    if meta.get("region", region) != region:
        raise Fault(f"asked for region {region!r}, it answered for {meta['region']!r}", "region")
    if meta.get("units") != UNITS:
        raise Fault(f"its units are {meta.get('units')!r}; expected {UNITS!r}", "units")
    factor = Factor(NAME, math.nan, UNIT, "WattTime (forecast)", region, basis=BASIS)
    try:
        period_s = number(meta.get("data_point_period_seconds", 300)) or 300.0
        values = {unix_s(one.get("point_time")): number(one.get("value")) for one in data}
    except (AttributeError, ValueError) as error:
        raise Fault(f"the answer can't be used: {error}") from None
    starts = sorted(values)
    begin_s = now_s - now_s % period_s
    # The first point may be the next one to come: it is the nearest to now, too.
    first_s = begin_s if begin_s < starts[0] <= now_s + period_s else starts[0]
    edges = [first_s, *starts[1:], starts[-1] + period_s]
    return [
        Slot(start_s, end_s, replace(factor, value=values[at_s] * G_PER_KWH))
        for at_s, (start_s, end_s) in zip(starts, pairwise(edges), strict=True)
    ]


def _parts(answer: object) -> tuple[Mapping[str, Any], Sequence[Any]]:
    meta = answer.get("meta") if isinstance(answer, dict) else None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(meta, dict) or not isinstance(data, list) or not data:
        raise Fault("the answer has no forecast")
    return meta, data
