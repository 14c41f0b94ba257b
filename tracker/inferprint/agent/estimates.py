"""What a worker can say of a request before the agent has settled it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inferprint import flags
from inferprint.agent.levels import Draw, Level, News
from inferprint.items import Part
from inferprint.records import WEAKEST_FIRST, Device, IdlePolicyName, weakest
from inferprint.settlement import Settlement
from inferprint.stakes import Earned
from inferprint.uncertainty import Doubt, ItemDoubts, equal_shares_error
from inferprint.weights import TIME_IN_FLIGHT


def provisional(
    until: Level | None,
    news: News | None,
    devices: Sequence[Device],
    since: Level | None,
    idle_policy: IdlePolicyName,
    places: Collection[int] | None = None,
) -> Settlement:
    """What a request has used by an instant, by equal shares of the host's power; what the agent
    settles may be weighed by work.

    Args:
        until: what one share has earned by its end, or by now; None: not known.
        news: the latest of the agent; None: there was none.
        devices: of the host.
        since: what one share had earned when it started; None: not known.
        idle_policy: who pays for idle energy.
        places: of the devices that it runs on; None: all.
    """
    said = frozenset({flags.PROVISIONAL})
    if since is None or until is None or news is None or len(since.joules) != len(news.draws):
        return Settlement((), said | {flags.AGENT_LOST}, idle_policy, "none")
    error = equal_shares_error(news.running)
    parts = tuple(
        _part(device, draw, before, after, error)
        for place, (device, draw, before, after) in enumerate(
            zip(devices, news.draws, since.joules, until.joules, strict=True)
        )
        if places is None or place in places
    )
    return Settlement(parts, said, idle_policy, TIME_IN_FLIGHT, (), until.share_s - since.share_s)


def _part(
    device: Device,
    draw: Draw,
    before: tuple[float, float],
    after: tuple[float, float],
    error: float,
) -> Part:
    said = device.flags
    if draw.active_w is None:
        return Part(device, Earned(0.0, 0.0, 0.0), "unknown", said, ItemDoubts())
    if draw.idle_w is None:
        said |= {flags.IDLE_UNKNOWN}
    active_j, idle_j = max(0.0, after[0] - before[0]), max(0.0, after[1] - before[1])
    earned = Earned(active_j, idle_j, draw.standing_j)
    gain, sharing_j2 = device.relative_error, (error * active_j) ** 2
    active, idle, standing = (Doubt(gain * joules) for joules in earned)
    active = active._replace(variance_j2=sharing_j2)
    doubts = ItemDoubts(active, idle, standing, Doubt(gain * sum(earned), sharing_j2))
    provenance = weakest((WEAKEST_FIRST[draw.provenance], "prorated"))
    return Part(device, earned, provenance, said, doubts)
