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
from inferprint.units import seconds

MOST_PACES = 64
"""Models whose usual pace is followed; requests of others have a share of time only."""

_START: Final = 0
_FIRST: Final = 1
_TELL: Final = 2
_END: Final = 3

_in_time = itemgetter(0, 1)


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
        self._heard: list[tuple[int, int, Teller, Told]] = []

    @property
    def begun(self) -> bool:
        """Whether there is work to follow: once anyone has told of tokens."""
        return bool(self._paces or self._heard)

    @property
    def paces(self) -> Mapping[str, Pace]:
        """The usual pace of the models that have told of tokens."""
        return self._paces

    def start(self, teller: Teller, told: Told, at_ns: int) -> None:
        """A request has started, and was found to have told this by ``at_ns``."""
        if told is not NOTHING or teller.model in self._paces:
            self._heard.append((teller.started_ns, _START, teller, told))
            if told.output:
                self.tell(teller, told, at_ns)

    def tell(self, teller: Teller, told: Told, at_ns: int) -> None:
        """A request was found to have told this by ``at_ns``."""
        if told.first is not None and (teller.progress is None or not teller.progress.output):
            self._heard.append((told.first[0], _FIRST, teller, told))
        if told.prompt is not None or told.output:
            self._heard.append((at_ns, _TELL, teller, told))

    def end(self, teller: Teller, told: Told, at_ns: int) -> None:
        """A request has ended; what it tells later is not heard."""
        if told is not NOTHING or teller.model in self._paces:
            self.tell(teller, told, at_ns)
            self._heard.append((at_ns, _END, teller, told))

    def advance(self, now_ns: int) -> Iterator[None]:
        """Takes all that was heard, and works prompts off; yields about once a request."""
        heard, self._heard = self._heard, []
        heard.sort(key=_in_time)
        for at_ns, kind, teller, told in heard:
            self._take(at_ns, kind, teller, told)
            yield
        now_s = seconds(now_ns)
        for pace in self._paces.values():
            pace.prompts.advance(now_s)

    def _take(self, at_ns: int, kind: int, teller: Teller, told: Told) -> None:
        progress = teller.progress
        if progress is None:
            pace = self._pace(teller.model) if kind != _END else None
            if pace is None:
                return
            progress = Progress(pace, seconds(teller.started_ns), told.prompt)
            teller.progress = progress
        if kind == _END:
            progress.end(seconds(at_ns))
        elif kind == _TELL:
            progress.tell(seconds(at_ns), told.prompt, told.output)
        elif kind == _FIRST and told.first is not None:
            progress.tell(seconds(at_ns), told.prompt, told.first[1])

    def _pace(self, model: str) -> Pace | None:
        if model not in self._paces and len(self._paces) < MOST_PACES:
            self._paces[model] = Pace()
        return self._paces.get(model)
