"""Conversions between the SI units inside and the units on screens and in tables.

Inside, energy is in joules, power in watts, time in seconds (nanoseconds on the
monotonic clock), mass in grams. Wh and kWh appear only where a person reads them.
"""

from __future__ import annotations

JOULES_PER_KWH = 3_600_000.0
JOULES_PER_WH = 3_600.0
NS_PER_S = 1_000_000_000
GRAMS_PER_KG = 1_000
SECONDS_PER_HOUR = 3_600.0
# The Julian year of astronomy, which the SI brochure counts durations in.
SECONDS_PER_YEAR = 31_557_600.0
JOULES_PER_MEGAJOULE = 1_000_000
MICROJOULES_PER_JOULE = 1_000_000
MILLIJOULES_PER_JOULE = 1_000
MICROSECONDS_PER_SECOND = 1_000_000


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NS_PER_S
