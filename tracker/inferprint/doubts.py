"""What of the windows of one device is uncertain for the requests in them.

Kept as energy is: what is the same for all requests rises by window, and a request is owed
the difference between its end and its start.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from inferprint.records import Device
from inferprint.scatter import Scatter
from inferprint.splitting import Split
from inferprint.stakes import Earned, Stake
from inferprint.timeline import PARTS, Span
from inferprint.uncertainty import (
    NO_SPREAD,
    Doubt,
    ItemDoubts,
    Spread,
    WorkPart,
    equal_shares_error,
    held_part,
)
from inferprint.units import NS_PER_S
from inferprint.windows import Window

if TYPE_CHECKING:
    from inferprint.weighing import Charge


VARIANCE_KNOWN = 1.3
"""Variances are themselves learned, and a little too small at first and where laws do not fit.
Source: benchmarks/attribution, where errors over deviations have a mean square of this."""


class Noise(NamedTuple):
    """A sensor's noise in a window, for a request that has a part of what is charged for it.

    Args:
        variance_j2: of what is charged.
        shared_part: the part of it that is shared alike.
        charged_j: all of it.
    """

    variance_j2: float
    shared_part: float
    charged_j: float


NO_NOISE: Final = Noise(0.0, 0.0, math.inf)


class Doubts:
    """Those of one device.

    Args:
        device: gives the errors of its sensor.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._scatter = Scatter(device.noise)
        self._level = self._rates = NO_SPREAD
        self._still = False
        self._hold_s = 0.0

    def observe(self, window: Window, span: Span) -> None:
        """Takes every window: its sensor's scatter shows where the same requests ran on."""
        still, self._still = self._still, not span.marks
        if window.energy_j is None or window.gap or window.rough:
            self._scatter.interrupt()
        else:
            alike = still and self._still
            self._scatter.observe(window.energy_j, window.duration_s, alike)

    def begin(self, window: Window, split: Split, span: Span, charge: Charge) -> Noise:
        """A window with requests is being shared out.

        Returns:
            What its noise is for requests' own work.
        """
        share_ns = (span.end.share - span.start.share) / PARTS
        self._rates = NO_SPREAD
        self._hold_s = charge.shares.hold_s
        if not share_ns or charge.charged_j <= 0:
            return NO_NOISE
        noise_j2 = self._noise_j2(window, split, charge)
        shared_part = charge.share_j_per_ns * share_ns / charge.charged_j
        if charge.learned:
            sharing = charge.shares.shared_error
        else:
            sharing = equal_shares_error(span.busy_ns / share_ns)
        self._rates = Spread(
            noise_j2 * shared_part**2 / share_ns,
            charge.share_j_per_ns * sharing,
            1 / NS_PER_S,
        )
        return Noise(noise_j2, shared_part, charge.charged_j)

    @property
    def here(self) -> tuple[Spread, Spread]:
        """Where the sum stood as the window began, and what a nanosecond of an equal share adds."""
        return self._level, self._rates

    def resume(self, stake: Stake) -> None:
        """A request that had left comes back. What its stay came to is only worked out here, or
        when it is asked for.
        """
        if stake.left is not None:
            stake.noise_j2, stake.sharing_j, stake.share_s = self.of(stake)
            stake.left = None

    def end(self, span: Span) -> None:
        """The window is shared out."""
        share_ns = (span.end.share - span.start.share) / PARTS
        self._level = _at(self._level, self._rates, share_ns) if span.end.running else NO_SPREAD
        self._rates = NO_SPREAD

    def of(self, stake: Stake) -> Spread:
        """What is uncertain of a request up to its end or the last window's."""
        noise_j2, sharing_j, share_s = stake.noise_j2, stake.sharing_j, stake.share_s
        if stake.came is None:
            return Spread(noise_j2, sharing_j, share_s)
        since, until = _at(*stake.came), _at(*(stake.left or (self._level, NO_SPREAD, 0.0)))
        return Spread(
            noise_j2 + until.noise_j2 - since.noise_j2,
            sharing_j + until.sharing_j - since.sharing_j,
            share_s + until.share_s - since.share_s,
        )

    def of_items(
        self, stake: Stake, earned: Earned, duration_s: float, idle_error_w: float, pays_idle: bool
    ) -> ItemDoubts:
        """The errors of what a request was charged for.

        What idle power is wrong by moves from idle to active energy, and hardly changes their
        sum. Standing energy was measured while no request ran.

        Args:
            stake: the request's.
            earned: what it was charged for.
            duration_s: from its start to its end.
            idle_error_w: standard deviation of the idle power.
            pays_idle: whether it is charged for idle energy while it ran.
        """
        spread, gain = self.of(stake), self._device.relative_error
        active_j2 = self._active_j2(stake, spread, earned.active_j, duration_s)
        idle_j2 = (spread.share_s * idle_error_w) ** 2
        return ItemDoubts(
            Doubt(gain * earned.active_j, active_j2 + idle_j2),
            Doubt(gain * earned.idle_j, idle_j2 if pays_idle else 0.0),
            Doubt(gain * earned.standing_j),
            Doubt(gain * sum(earned), active_j2 if pays_idle else active_j2 + idle_j2),
        )

    def of_work(self, stake: Stake, active_j: float, duration_s: float) -> WorkPart | None:
        """What a request's active energy was for; None where the cost of work was not learned.

        Args:
            stake: the request's.
            active_j: its active energy.
            duration_s: from its start to its end.
        """
        if stake.own_j <= 0 or active_j <= 0:
            return None
        spread, gain = self.of(stake), self._device.relative_error
        noise_part = spread.noise_j2 * held_part(duration_s, self._hold_s) / active_j**2
        prompt_j = stake.own_prompt_j
        parts_j = max(0.0, active_j - stake.own_j), prompt_j, max(0.0, stake.own_j - prompt_j)
        errors_j = spread.sharing_j, stake.prompt_error_j, stake.output_error_j
        doubts = (
            Doubt(gain * part_j, VARIANCE_KNOWN * (noise_part * part_j**2 + error_j**2))
            for part_j, error_j in zip(parts_j, errors_j, strict=True)
        )
        return WorkPart(*parts_j, *doubts)

    def _active_j2(self, stake: Stake, spread: Spread, active_j: float, duration_s: float) -> float:
        """Variance of active energy for all but its idle power's sake."""
        variance_j2 = spread.noise_j2 * held_part(duration_s, self._hold_s)
        variance_j2 = VARIANCE_KNOWN * (variance_j2 + _sharing_j2(stake, spread.sharing_j))
        if self._device.average_s and duration_s:
            # The mean of the seconds before lags by half of them: at a request's start and its
            # end what it adds to the power is told late, in part when it is gone.
            alone = min(1.0, spread.share_s / duration_s)
            late = min(1.0, self._device.average_s / 2 / duration_s)
            variance_j2 += (active_j * alone * late) ** 2
        return variance_j2

    def _noise_j2(self, window: Window, split: Split, charge: Charge) -> float:
        """Variance of what is charged for a window, as far as the sensor's noise goes."""
        energy_j, duration_s = window.energy_j or 0.0, window.duration_s
        deviation_j = charge.shares.deviation_j
        if deviation_j is None:
            deviation_j = self._scatter.relative * energy_j / math.sqrt(duration_s)
        noise_j2 = deviation_j**2
        if window.rough and self._device.step_s:
            # Off by up to a step's energy at both ends, anywhere in between.
            noise_j2 += (energy_j / duration_s * self._device.step_s) ** 2 / 6
        others_j = split.other_j + split.unattributed_j
        own_part = split.requests_j / (split.requests_j + others_j) if others_j else 1.0
        return noise_j2 * own_part**2


def _at(level: Spread, rates: Spread, share_ns: float) -> Spread:
    """Where the sum over the windows stands after so much of the present one's equal share."""
    return Spread(
        level.noise_j2 + rates.noise_j2 * share_ns,
        level.sharing_j + rates.sharing_j * share_ns,
        level.share_s + rates.share_s * share_ns,
    )


def _sharing_j2(stake: Stake, shared_j: float) -> float:
    """Variance for the weights' sake: of what was shared and of own work, whose errors go
    together.
    """
    prompt_j, output_j = stake.prompt_error_j, stake.output_error_j
    prompts, outputs, both = stake.errors_alike
    alike = prompts * shared_j * prompt_j + outputs * shared_j * output_j
    alike += both * prompt_j * output_j
    return max(0.0, shared_j**2 + prompt_j**2 + output_j**2 + 2 * alike)
