"""A device that draws the same power at all times."""

from __future__ import annotations

import time
from collections.abc import Sequence

from inferprint import Device, Reading
from inferprint.units import NS_PER_S

WATTS = 300.0


class Steady:
    def devices(self) -> Sequence[Device]:
        return [Device("gpu:0", "gpu", "steady", idle_w=100.0)]

    def read(self) -> Sequence[Reading]:
        now_ns = time.monotonic_ns()
        return [Reading("gpu:0", now_ns, WATTS * now_ns / NS_PER_S)]

    def close(self) -> None:
        pass
