"""When prompts are computed: between a request's start and its first token.

Engines take prompts first come first served, so a request's prompt may be computed long
after its start, and first tokens come in the order of the starts. Where they do not,
prompts are taken to be computed side by side.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

from inferprint.learning.usual import Ratio

_DISORDERLY = 0.2
"""Share of first tokens out of order from which prompts are taken to run side by side."""


class Prompt(Protocol):
    """A prompt that waits for its first token.

    Args:
        start_s: when its request started.
        worked: tokens of it that are taken to be computed by now.
        worked_off_s: since when all of it is; None: it is not.
    """

    start_s: float
    worked: float
    worked_off_s: float | None

    @property
    def prompt(self) -> float:
        """Its uncached tokens, as far as they are known."""
        ...

    def is_silent(self, at_s: float) -> None:
        """One that started later has had its first token: this one must have, and does not
        tell of it.
        """
        ...


class FirstToken(NamedTuple):
    """What a first token says of the pace of prompts.

    Args:
        tokens, since_start_s: of its own prompt, had it run side by side with others.
        serial_tokens, serial_s: of all since the first token before, one after the other.
        alone: whether no other prompt waited.
        in_order: whether no earlier one did.
    """

    tokens: float
    since_start_s: float
    serial_tokens: float
    serial_s: float
    alone: bool
    in_order: bool


class PromptQueue:
    """The prompts of one model, in the order of their starts.

    Attributes:
        serial: whether prompts are computed one after the other.
        rate: prompt tokens per second, of all requests or of each; None: not known yet.
    """

    def __init__(self) -> None:
        # Those that wait for their first token, and of them those that are not worked off.
        self._waiting: dict[Prompt, None] = {}
        self._undone: OrderedDict[Prompt, None] = OrderedDict()
        self._at_s = -math.inf
        self._last_first_s = -math.inf
        self._serial_rate, self._parallel_rate, self._disorder = Ratio(), Ratio(), Ratio()
        self.serial = True
        self.rate: float | None = None

    @property
    def ahead(self) -> float:
        """Prompt tokens that are computed before those of a request that starts now."""
        if not self.serial:
            return 0.0
        return sum(max(0.0, prompt.prompt - prompt.worked) for prompt in self._undone)

    def join(self, prompt: Prompt, at_s: float) -> None:
        """A request starts. While no rate is known, its prompt is taken to be done at once."""
        self.advance(at_s)
        self._waiting[prompt] = None
        self._undone[prompt] = None
        if self.rate is None:
            self._work(prompt, math.inf)

    def grow(self, prompt: Prompt) -> None:
        """A request has told of its prompt: one that waits may have more of it to do."""
        if prompt in self._waiting and prompt.worked < prompt.prompt:
            prompt.worked_off_s = None
            self._undone[prompt] = None
            if self.rate is None:
                self._work(prompt, math.inf)

    def leave(self, prompt: Prompt, at_s: float) -> None:
        """A request has ended, or was found to tell nothing until it ends."""
        self.advance(at_s)
        self._waiting.pop(prompt, None)
        self._undone.pop(prompt, None)

    def first_token(self, prompt: Prompt, at_s: float) -> FirstToken:
        """A request's first token came: its prompt is done, and those before it.

        Returns:
            What ``learn`` learns from it, once it is sure that it was one.
        """
        self.advance(at_s)
        ahead = self._ahead_of(prompt) if self._undone else ()
        first_s = ahead[0].start_s if ahead else prompt.start_s
        tokens = prompt.prompt
        seen = FirstToken(
            tokens,
            at_s - prompt.start_s,
            tokens + sum(other.prompt for other in ahead),
            at_s - max(first_s, self._last_first_s),
            len(self._waiting) <= 1,
            not ahead,
        )
        self._last_first_s = at_s
        if self.serial:
            for other in ahead:
                self._work(other, math.inf)
            self._overtake(prompt, at_s)
        self._work(prompt, math.inf)
        self._waiting.pop(prompt, None)
        return seen

    def _overtake(self, prompt: Prompt, at_s: float) -> None:
        """Those that started before it wait no more."""
        if prompt in self._waiting:
            while (other := next(iter(self._waiting))) is not prompt:
                del self._waiting[other]
                other.is_silent(at_s)

    def learn(self, seen: FirstToken) -> None:
        """Learns how fast prompts are computed."""
        if not seen.alone:
            self._disorder.add(float(not seen.in_order))
        if seen.tokens and seen.serial_s > 0:
            self._parallel_rate.add(seen.tokens, seen.since_start_s)
            self._serial_rate.add(seen.serial_tokens, seen.serial_s)
        self._judge()

    def _judge(self) -> None:
        self.serial = (self._disorder.value or 0.0) < _DISORDERLY
        self.rate = (self._serial_rate if self.serial else self._parallel_rate).value

    def advance(self, at_s: float) -> None:
        """Works prompts off at the usual rate, up to ``at_s``."""
        if at_s <= self._at_s:
            return
        passed_s, self._at_s = at_s - self._at_s, at_s
        if not self._undone:
            return
        tokens = math.inf if self.rate is None else passed_s * self.rate
        if not self.serial:
            for prompt in list(self._undone):
                self._work(prompt, tokens)
            return
        while tokens > 0 and self._undone:
            together = self._next()
            # Up to where the shortest of them is done.
            least = min(prompt.prompt - prompt.worked for prompt in together)
            each = min(tokens / len(together), max(0.0, least))
            tokens -= sum(self._work(prompt, each) for prompt in together)

    def _next(self) -> Sequence[Prompt]:
        """The prompt whose turn it is, and those of requests that started at the same instant:
        none of them is before the others.
        """
        first = next(iter(self._undone))
        return list(takewhile(lambda other: other.start_s == first.start_s, self._undone))

    def _ahead_of(self, prompt: Prompt) -> Sequence[Prompt]:
        """Those that started before ``prompt`` and are not done."""
        if next(iter(self._undone)) is prompt:
            return ()
        if prompt not in self._undone:
            return [other for other in self._undone if other.start_s < prompt.start_s]
        return list(takewhile(lambda other: other is not prompt, self._undone))

    def _work(self, prompt: Prompt, most: float) -> float:
        """Works on one prompt, on ``most`` tokens at most; returns how many it took."""
        whole = prompt.prompt
        taken = max(0.0, min(most, whole - prompt.worked))
        prompt.worked += taken
        if prompt.worked >= whole:
            self._undone.pop(prompt, None)
            if prompt.worked_off_s is None:
                prompt.worked_off_s = self._at_s
        return taken

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        return {name: ratio.state() for name, ratio in self._ratios().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what ``state`` gave."""
        for name, ratio in self._ratios().items():
            known = Ratio.from_state(state[name])
            ratio.total, ratio.over = known.total, known.over
        self._judge()

    def _ratios(self) -> dict[str, Ratio]:
        return {
            "serial_rate": self._serial_rate,
            "parallel_rate": self._parallel_rate,
            "disorder": self._disorder,
        }
