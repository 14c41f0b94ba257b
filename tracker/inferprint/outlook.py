"""What is known at an instant of what a request would use if it started then.

Pure and immutable: the engine makes one whenever windows have closed, and any thread may ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from inferprint import flags
from inferprint.items import Part
from inferprint.learning.crowd import Crowd
from inferprint.learning.record import Spread, Usual
from inferprint.learning.work import NO_WORK, Work
from inferprint.records import Device
from inferprint.stakes import Earned
from inferprint.uncertainty import Doubt, ItemDoubts

if TYPE_CHECKING:
    from inferprint.learning.pace import Pace
    from inferprint.learning.record import Record


class DeviceOutlook(NamedTuple):
    """One device.

    Args:
        device: which.
        shared_w: active watts that those in flight share alike; None: not known yet.
        price_j: joules of each token of a model's own work; empty while those are not told
            apart from what is shared.
        idle_w: idle watts that those in flight share; None: not known, and part of
            ``shared_w``.
        standing_j: what the next request to come is charged for the waiting before it.
    """

    device: Device
    shared_w: float | None
    price_j: Mapping[str, Work]
    idle_w: float | None
    standing_j: float

    def part(self, model: str, work: Work, share_s: float) -> Part:
        """What it will charge to a request.

        Args:
            model: the request's.
            work: its own.
            share_s: integral of 1/n over it, n in flight.
        """
        said = self.device.flags
        if self.shared_w is None:
            return Part(self.device, Earned(0.0, 0.0, 0.0), "unknown", said, ItemDoubts())
        if self.idle_w is None:
            said |= {flags.IDLE_UNKNOWN}
        own_j = max(0.0, work.times(self.price_j.get(model, NO_WORK)))
        idle_j = (self.idle_w or 0.0) * share_s
        earned = Earned(self.shared_w * share_s + own_j, idle_j, self.standing_j)
        gain = self.device.relative_error
        active, idle, standing = (Doubt(gain * joules) for joules in earned)
        doubts = ItemDoubts(active, idle, standing, Doubt(gain * sum(earned)))
        return Part(self.device, earned, "modelled", said, doubts)


class Found(NamedTuple):
    """How far requests were from what was expected of them."""

    energy: Spread
    duration: Spread


class ModelOutlook(NamedTuple):
    """One model.

    Args:
        prompt_rate: prompt tokens a second; None: prompts are taken to need no time.
        waiting: prompt tokens that are computed before those of a new request.
        output_rate: output tokens a second of a request; None: none has told of any.
        usual: its usual output.
        known, guessed: of requests whose output length was known, and was not.
    """

    prompt_rate: float | None
    waiting: float
    output_rate: float | None
    usual: Usual
    known: Found
    guessed: Found

    def seconds(self, prompt: float, output: float) -> float | None:
        """How long a request of so many tokens takes; None: not known."""
        if not self.output_rate:
            return None
        prompt_s = (self.waiting + prompt) / self.prompt_rate if self.prompt_rate else 0.0
        return prompt_s + output / self.output_rate


def model_outlook(pace: Pace, record: Record) -> ModelOutlook:
    """What is known of a model now."""
    return ModelOutlook(
        pace.prompts.rate,
        pace.prompts.ahead,
        pace.output_rate.value,
        record.lengths.usual,
        Found(record.energy.spread, record.duration.spread),
        Found(record.energy_of_usual.spread, record.duration_of_usual.spread),
    )


class Expected(NamedTuple):
    """What is expected of a request before its model's record is taken into account.

    Args:
        duration_s: from its start to its end.
        parts: what each device charges it.
        share_s: integral of 1/n over it, n in flight.
    """

    duration_s: float
    parts: tuple[Part, ...]
    share_s: float

    @property
    def total_j(self) -> float:
        """All that it is charged."""
        return sum(sum(part.earned) for part in self.parts)


class Outlook(NamedTuple):
    """What is known at an instant.

    Args:
        crowd: the load.
        devices: those that were read.
        models: those that have told of their tokens.
    """

    crowd: Crowd = Crowd()
    devices: tuple[DeviceOutlook, ...] = ()
    models: Mapping[str, ModelOutlook] = {}

    def beside(self, running: int) -> Outlook:
        """The same with so many requests in flight."""
        return self._replace(crowd=self.crowd._replace(running=max(0, running)))

    def unknown(self, model: str) -> str | None:
        """Why nothing can be said of a model's requests; None: something can."""
        known = self.models.get(model)
        if known is None:
            return f"no request of model {model!r} has told of its tokens yet"
        if not known.output_rate:
            return f"no request of model {model!r} has told how fast its output tokens come"
        if all(device.shared_w is None for device in self.devices):
            return "no device has been read while a request ran"
        return None

    def expected(self, model: str, prompt: float, output: float) -> Expected | None:
        """What a request of so many uncached prompt and output tokens takes; None: unknown."""
        known = self.models.get(model)
        duration_s = known.seconds(prompt, output) if known is not None else None
        if duration_s is None or all(device.shared_w is None for device in self.devices):
            return None
        share_s = self.crowd.share_s(duration_s)
        work = Work(prompt, output, output * (prompt + output / 2))
        parts = tuple(device.part(model, work, share_s) for device in self.devices)
        return Expected(duration_s, parts, share_s)


NOTHING_KNOWN = Outlook()
