"""A day's profile: the intensity of each hour of the day, by local time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from inferprint.errors import ConfigError
from inferprint.impacts import Factor, mean_factor
from inferprint.intensity.known import Known
from inferprint.intensity.naming import SETTING
from inferprint.intensity.tables import Table, described, read_table, valued
from inferprint.units import SECONDS_PER_HOUR

__all__ = ["Profile", "read_profile"]

# Month, whether it is a weekend, hour of the day.
Hour = tuple[int, bool, int]

_DAYS = {"weekday": (False,), "weekend": (True,), "": (False, True)}
_EVERY_HOUR: tuple[Hour, ...] = tuple(product(range(1, 13), (False, True), range(24)))
# Longer spans are walked for longer than somebody who asks should wait: 8,784 hours take 40 ms.
_LONGEST_S = 366 * 86_400.0
_NOTHING = Known(None)


class Profile:
    """An intensity that follows the hours of the day.

    Args:
        hours: the value of every hour.
        zone: whose hours they are.
    """

    def __init__(self, hours: Mapping[Hour, Factor], zone: ZoneInfo) -> None:
        self._known = {hour: Known(factor) for hour, factor in hours.items()}
        self._zone = zone

    def over(self, start_s: float, end_s: float) -> Known:
        """The mean over a span, weighed by time; not known of spans of more than a year."""
        if not end_s - start_s <= _LONGEST_S:
            return _NOTHING
        try:
            parts = list(self._parts(start_s, end_s))
        except (OverflowError, OSError, ValueError):  # a time that no calendar has
            return _NOTHING
        if len(parts) == 1:
            return parts[0][1]
        return Known(mean_factor((known.factor, s) for s, known in parts))

    def start(self) -> None:
        """There is nothing to fetch."""

    def close(self) -> None:
        """There is nothing to stop."""

    def _parts(self, start_s: float, end_s: float) -> Iterator[tuple[float, Known]]:
        """Seconds, and what is known of them, of each hour.

        Steps are of time itself, so that a day on which clocks change has 23 or 25 of them.
        """
        while True:
            local = datetime.fromtimestamp(start_s, self._zone)
            known = self._known[local.month, local.weekday() >= 5, local.hour]
            into_s = local.minute * 60 + local.second + local.microsecond / 1e6
            next_s = start_s + max(1e-6, SECONDS_PER_HOUR - into_s)
            yield min(next_s, end_s) - start_s, known
            if next_s >= end_s:
                return
            start_s = next_s


def read_profile(path: str) -> Profile:
    """Reads a profile.

    Args:
        path: a CSV file with the columns ``hour`` (0 to 23, or a range such as ``22-6``) and
            ``value`` (gCO2e/kWh), and ``day`` (``weekday`` or ``weekend``), ``month`` (1 to 12,
            or a range), ``low`` and ``high`` where they apply; before them lines such as
            ``# timezone: Europe/Paris``, which is needed, ``# source: ...``, ``# basis: ...``.

    Raises:
        ConfigError: it can't be read, has no such zone, or misses an hour; names which.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
        table = read_table(text, ("hour", "value"), ("day", "month", "low", "high"))
        zone, hours = _zone(table.head.get("timezone", "")), _hours(table, Path(path).name)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        given = f"profile:{path}"
        raise ConfigError(SETTING, given, f"a profile of the hours of a day, but {error}") from None
    return Profile(hours, zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expected = "an IANA time zone in the profile's first lines, # timezone: Europe/Paris"
        mend = "Where this machine has no table of zones, run: pip install tzdata"
        raise ConfigError("timezone", name, expected, mend) from None


def _hours(table: Table, file: str) -> dict[Hour, Factor]:
    head = {key: value for key, value in table.head.items() if key != "timezone"}
    factor = described(head, f"profile {file}")
    hours: dict[Hour, Factor] = {}
    for line, row in table.rows:
        try:
            found = valued(factor, row["value"], row.get("low"), row.get("high"))
            for hour in _covered(row):
                if hour in hours:
                    raise ValueError(f"{_named(hour)} has a value already")
                hours[hour] = found
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
    for hour in _EVERY_HOUR:
        if hour not in hours:
            raise ValueError(f"{_named(hour)} has no value")
    return hours


def _covered(row: Mapping[str, str]) -> list[Hour]:
    day = row.get("day", "").lower()
    if day not in _DAYS:
        raise ValueError(f"day is {row['day']!r}; expected weekday, weekend or nothing")
    months = _numbers(row.get("month") or "1-12", 1, 12, "month")
    hours = _numbers(row["hour"], 0, 23, "hour")
    return [(m, weekend, h) for m in months for weekend in _DAYS[day] for h in hours]


def _numbers(text: str, least: int, most: int, what: str) -> list[int]:
    """``5`` or ``22-6``, both ends among them, past the end of the day or the year too."""
    found = re.fullmatch(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?", text, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (-1, -1)
    if not (least <= first <= most and least <= last <= most):
        expected = f"{least} to {most}, or a range such as {most - 1}-{least + 1}"
        raise ValueError(f"{what} is {text!r}; expected {expected}")
    length = most - least + 1
    return [(first - least + n) % length + least for n in range((last - first) % length + 1)]


def _named(hour: Hour) -> str:
    month, weekend, number = hour
    return f"hour {number} of {'weekends' if weekend else 'weekdays'} in month {month}"
