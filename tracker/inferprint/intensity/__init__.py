"""How much carbon a kWh of the grid stands for, hour by hour.

Receipts ask for the intensity of the hours in which their energy was used. What they are told
is at hand: whatever has to be fetched is fetched in the background.
"""

from __future__ import annotations

from inferprint.intensity.known import Constant, Intensity, Known
from inferprint.intensity.opening import open_intensity

__all__ = ["Constant", "Intensity", "Known", "open_intensity"]
