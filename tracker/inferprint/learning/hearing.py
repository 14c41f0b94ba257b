"""Brings what requests tell of their tokens into the order of time, for all devices.

Counts are looked at when windows close, so a request that streams costs the same however
often it tells; only its first tokens have an instant of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from inferprint.learning.pace import Pace
from inferprint.learning.progress import Progress
from inferprint.units import NS_PER_S, seconds

MOST_PACES = 64
"""Models whose usual pace is followed; requests of others have a share of time only."""

_START: Final = 0
_FIRST: Final = 1
_TELL: Final = 2
_END: Final = 3
_KIND_BITS: Final = 2
"""Instant and kind are one number, which is sorted by quickly."""

_in_time = itemgetter(0)

_AT_ONCE: Final = 3
"""What most requests are heard of: a start, a first token, an end."""


class Told(NamedTuple):
    """What a request has told so far.

    Args:
        prompt: uncached prompt tokens; None: it said nothing of them.
        output: output tokens.
        first: when (ns, monotonic) it first told of output tokens, and of how many.
    """

    prompt: int | None = None
    output: int = 0
    first: tuple[int, int] | None = None


NOTHING = Told()


class Teller(Protocol):
    """A request, as far as its work goes; ``progress`` is None until there is any to follow."""

    model: str
    started_ns: int
    progress: Progress | None


class Hearing:
    """The work of all requests, as they tell of it.

    Args:
        paces: what was learned before of models' usual pace.
    """

    def __init__(self, paces: Mapping[str, Pace] | None = None) -> None:
        self._paces = dict(paces or {})
        # By instant and, of those of the same instant, by kind.
        self._heard: list[tuple[int, Teller, Told]] = []

    @property
    def begun(self) -> bool:
        """Whether there is work to follow: once anyone has told of tokens."""
        return bool(self._paces or self._heard)

    @property
    def paces(self) -> Mapping[str, Pace]:
        """The usual pace of the models that have told of tokens."""
        return self._paces

    def start(self, teller: Teller, told: Told) -> None:
        """A request has started, and has told this since."""
        if told is not NOTHING or teller.model in self._paces:
            self._heard.append((teller.started_ns << _KIND_BITS | _START, teller, told))

    def tell(self, teller: Teller, told: Told, at_ns: int) -> None:
        """A request was found to have told this by ``at_ns``."""
        self._tell_first(teller, told)
        if told is not NOTHING:
            self._heard.append((at_ns << _KIND_BITS | _TELL, teller, told))

    def end(self, teller: Teller, told: Told, at_ns: int) -> None:
        """A request has ended; what it tells later is not heard."""
        if told is NOTHING and teller.model not in self._paces:
            return
        self._tell_first(teller, told)
        self._heard.append((at_ns << _KIND_BITS | _END, teller, told))

    def advance(self, now_ns: int) -> Iterator[None]:
        """Takes all that was heard, and works prompts off; yields about once a request."""
        heard, self._heard = self._heard, []
        heard.sort(key=_in_time)
        for number, (key, teller, told) in enumerate(heard):
            self._take(key, teller, told)
            if not number % _AT_ONCE:
                yield
        now_s = seconds(now_ns)
        for pace in self._paces.values():
            pace.prompts.advance(now_s)

    def _tell_first(self, teller: Teller, told: Told) -> None:
        progress = teller.progress
        if told.first is not None and (progress is None or not progress.output):
            self._heard.append((told.first[0] << _KIND_BITS | _FIRST, teller, told))

    def _take(self, key: int, teller: Teller, told: Told) -> None:
        kind, progress = key & _END, teller.progress
        if progress is None:
            pace = self._pace(teller.model) if kind != _END or told is not NOTHING else None
            if pace is None:
                return
            progress = Progress(pace, seconds(teller.started_ns), told.prompt)
            teller.progress = progress
        if kind == _START:
            return
        at_s = (key >> _KIND_BITS) / NS_PER_S
        if kind == _FIRST and told.first is not None:
            progress.tell(at_s, told.prompt, told.first[1])
        elif told is not NOTHING:
            progress.tell(at_s, told.prompt, told.output)
        if kind == _END:
            progress.end(at_s)

    def _pace(self, model: str) -> Pace | None:
        if model not in self._paces and len(self._paces) < MOST_PACES:
            self._paces[model] = Pace()
        return self._paces.get(model)
