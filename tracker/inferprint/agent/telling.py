"""What a worker tells the agent of its requests, as the events of a batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferprint._config import visible_gpus
from inferprint.agent.messages import (
    COUNTED,
    END,
    MOST_CHARACTERS,
    MOST_DEVICES,
    MOST_LABELS,
    OUTCOMES,
    START,
    TOKENS,
    UNREADABLE,
)
from inferprint.device_names import seen_from

if TYPE_CHECKING:
    from inferprint.agent.levels import Level, Levels
    from inferprint.front import Front
    from inferprint.impacts import Factor
    from inferprint.request import Request
    from inferprint.settlement import Settlement

_PLACES = {outcome: place for place, outcome in enumerate(OUTCOMES)}


class Entry:
    """What a worker keeps of one of its requests, from its start on.

    Args:
        front: whose request it is.
        number: by which the agent knows it.
        level: what one share had earned at its start, and while its children ran; None: unknown.
    """

    __slots__ = (
        "children",
        "front",
        "heard",
        "intensity",
        "level",
        "lost",
        "number",
        "paused_ns",
        "running_children",
        "said",
        "waits",
    )

    def __init__(self, front: Front, number: int, level: Level | None) -> None:
        self.front, self.number, self.level = front, number, level
        # Whether the agent of this connection knows of it; whether one was lost while it ran.
        self.heard = self.lost = False
        # Whether it is not settled yet.
        self.waits = True
        # While a child of it runs it is not in flight: since when (ns); 0: it is.
        self.running_children = self.paused_ns = 0
        # The requests that ran inside it and are settled.
        self.children: list[Request] = []
        # What the agent's books said; None: it is not settled, or they never will.
        self.said: Settlement | None = None
        self.intensity: Factor | None = None

    def child_starts(self, at_ns: int) -> None:
        """A request inside it starts."""
        if not self.running_children:
            self.paused_ns = at_ns
        self.running_children += 1

    def child_ends(self, at_ns: int, levels: Levels) -> None:
        """A request inside it ends."""
        self.running_children -= 1
        if self.running_children:
            return
        before, after = levels.at(self.paused_ns), levels.at(at_ns)
        if self.level is not None and before is not None and after is not None:
            self.level = self.level.without(before, after)
        self.paused_ns = 0


def start_of(request: Request, number: int, parent: int | None, resumed: bool) -> list[Any]:
    """A request starts; ``resumed``: it was told of before, on a connection that was lost."""
    thread = request._thread
    owns = thread is not None and request._cpu_started_ns is not None
    names = _seen(request._devices)
    devices = [] if names is None else [[name[:MOST_CHARACTERS] for name in names[:MOST_DEVICES]]]
    return [
        START,
        request._started_ns,
        number,
        request._model[:MOST_CHARACTERS],
        _cut(request._labels),
        parent,
        thread.native_id if owns and thread is not None else None,
        request._cpu_started_ns if owns else None,
        request._most,
        *devices,
        resumed,
    ]


@functools.lru_cache(maxsize=256)
def _seen(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The devices of a request for the agent, which sees more of them than this process may."""
    return seen_from(names, visible_gpus())


def tokens_of(request: Request, number: int, at_ns: int) -> list[Any]:
    """A request has told of tokens by now."""
    return [TOKENS, at_ns, number, *_told(request)]


def end_of(request: Request, number: int) -> list[Any]:
    """A request ends."""
    said = UNREADABLE * request.tokens_unreadable | COUNTED * request.tokens_counted
    first_ns = request._first_token_ns if request._first_token_ns >= 0 else None
    outcome = _PLACES[request._outcome or "cancelled"]
    cpu_ns = request._cpu_ended_ns
    return [END, request._ended_ns, number, *_told(request), outcome, first_ns, said, cpu_ns]


def _told(request: Request) -> tuple[int | None, ...]:
    first = request._first_told or (None, None)
    return request._input, request._cached_input, request._output, *first


def _cut(labels: Mapping[str, str]) -> dict[str, str] | None:
    if not labels:
        return None
    return {
        name[:MOST_CHARACTERS]: value[:MOST_CHARACTERS]
        for name, value in [*labels.items()][:MOST_LABELS]
    }
