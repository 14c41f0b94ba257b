"""Meters outside of the machine, each by the watts that it tells: smart plugs and BMCs."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from inferprint._config import environment_variable
from inferprint.errors import ConfigError, ReadingError

__all__ = ["FORMS", "MeterReader", "open_meter"]

MeterReader = Callable[[], float]
"""Watts now; raises ReadingError."""

FORMS = {
    "tasmota": "tasmota:http://PLUG",
    "shelly": "shelly:http://PLUG",
    "redfish": "redfish:https://BMC/redfish/v1/Chassis/ID",
    "ipmi": "ipmi",
}
"""The kinds of meter, and what is written for each."""

SETTING = "wall_meter"
TIMEOUT_S = 5.0
IPMITOOL = ("ipmitool", "dcmi", "power", "reading")
INSTALL = "sudo apt-get install ipmitool; its device is root's: sudo chmod a+rw /dev/ipmi0"
USER, PASSWORD = "INFERPRINT_REDFISH_USER", "INFERPRINT_REDFISH_PASSWORD"


def parse_meter(text: object) -> tuple[str, str]:
    """The kind of a meter, and its address.

    Raises:
        ConfigError: it names none, or an address that can't be asked.
    """
    kind, _, url = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind == "ipmi" and not url:
        return kind, url
    parts = urlsplit(url)
    # A name or a password in it would be shown with the settings.
    plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if kind not in FORMS or kind == "ipmi" or not plain or parts.query or parts.fragment:
        raise ConfigError(SETTING, text, f"{', '.join(FORMS.values())} or None")
    return kind, url.rstrip("/")


def open_meter(text: str) -> MeterReader:
    """What reads a meter.

    Args:
        text: one of ``FORMS``.

    Raises:
        ConfigError: as for ``parse_meter``.
        MissingExtra: it is asked over HTTP, and httpx is not installed.
    """
    kind, url = parse_meter(text)
    if kind == "ipmi":
        return ipmi_w
    from inferprint.intensity.web import Web

    # A meter's own account, which is no token of a service of the intensity's.
    mend = (
        f"Set {USER} and {PASSWORD}" if kind == "redfish" else "Leave the plug without a password"
    )
    web = Web(f"{SETTING}={kind}:...", mend, TIMEOUT_S)
    ask = _ASK[kind]
    return lambda: ask(_Json(web, url))


class _Json:
    """Asks for the documents of one meter."""

    def __init__(self, web: Any, url: str) -> None:
        self._web, self._url = web, url

    def __call__(self, path: str, *, account: bool = False) -> Any:
        """The document at a path.

        Raises:
            ReadingError: it is not to be had.
        """
        from inferprint.intensity.feed import Fault

        auth = (environment_variable(USER), environment_variable(PASSWORD)) if account else None
        try:
            return self._web.get(self._url + path, **({"auth": auth} if auth and auth[0] else {}))
        except Fault as error:
            raise ReadingError(f"the wall meter: {error}", error.kind) from None


def _tasmota_w(get: _Json) -> float:
    """Tasmota, "Commands": ``Status 8`` tells the sensors; a power strip lists its sockets."""
    told = _at(get("/cm?cmnd=Status%208"), "StatusSNS", "ENERGY", "Power")
    return sum(map(_watts, told)) if isinstance(told, list) else _watts(told)


def _shelly_w(get: _Json) -> float:
    """Shelly API Docs: ``Switch.GetStatus``; ``/meter/0`` of the first generation."""
    try:
        return _watts(_at(get("/rpc/Switch.GetStatus?id=0"), "apower"))
    except ReadingError as error:
        if error.kind != "http_404":
            raise
    return _watts(_at(get("/meter/0"), "power"))


def _redfish_w(get: _Json) -> float:
    """DMTF DSP0268: ``EnvironmentMetrics`` of a chassis, or ``Power``, which is older."""
    try:
        return _watts(_at(get("/EnvironmentMetrics", account=True), "PowerWatts", "Reading"))
    except ReadingError as error:
        if error.kind not in ("http_404", "unusable"):
            raise
    controls = _at(get("/Power", account=True), "PowerControl")
    return _watts(_at(controls[0] if controls else None, "PowerConsumedWatts"))


_ASK: Mapping[str, Callable[[_Json], float]] = {
    "tasmota": _tasmota_w,
    "shelly": _shelly_w,
    "redfish": _redfish_w,
}


def ipmi_w(command: Sequence[str] = IPMITOOL) -> float:
    """By the BMC's DCMI, which ``ipmitool`` asks.

    Raises:
        ReadingError: it does not tell.
    """
    try:
        done = subprocess.run(  # noqa: S603 - nothing of it comes from outside
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise ReadingError(f"{command[0]} is not installed: {INSTALL}", "absent") from None
    except subprocess.TimeoutExpired:
        raise ReadingError(f"{command[0]} took over {TIMEOUT_S:g} s", "timeout") from None
    found = re.search(r"Instantaneous power reading:\s*(\d+) Watts", done.stdout)
    if found is None:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        raise ReadingError(f"{command[0]} tells no power: {said}. {INSTALL}", "unusable")
    return float(found[1])


def _at(told: Any, *names: str) -> Any:
    """What stands in a document under these names.

    Raises:
        ReadingError: nothing does.
    """
    for name in names:
        if not isinstance(told, dict) or name not in told:
            where = ".".join(names)
            said = json.dumps(told)[:200]
            raise ReadingError(f"the wall meter's answer has no {where}: {said}", "unusable")
        told = told[name]
    return told


def _watts(told: object) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        raise ReadingError(f"the wall meter tells {told!r} as its power", "unusable")
    return max(0.0, float(told))  # a plug that is turned the other way round, or noise at 0
