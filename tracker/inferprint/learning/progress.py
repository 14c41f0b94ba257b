"""How much of a request's work has been done by now, told or expected.

A request that tells its tokens at its end has been working all along. Until it tells, it
goes at its model's usual pace; what it then tells corrects what it was charged with.
"""

from __future__ import annotations

from inferprint.learning.pace import Pace
from inferprint.learning.prompts import FirstToken
from inferprint.learning.work import NO_WORK, Work

_OVERDUE = 2.0
"""A first token that takes this many times the usual is taken not to be told as it comes."""

_AT_END = 0.02
"""A request that first tells in this last part of its run is taken to tell at its end."""


class Progress:
    """One request's work.

    Args:
        pace: its model's.
        start_s: when it started, monotonic.
        prompt: uncached prompt tokens that it told of by then; None: none.

    Attributes:
        told_prompt: uncached prompt tokens that it told of; None: none.
        output: output tokens that it told of.
        expects: whether it is taken to go at the usual pace until it tells.
        corrections: what it told that it had done before and was not expected to have
            (negative where more was expected), so that it is not taken for new work.
    """

    __slots__ = (
        "_ended_s",
        "_first",
        "_first_s",
        "_last_s",
        "_last_tokens",
        "_last_took_s",
        "_pace",
        "_silent",
        "_unexpected_from",
        "corrections",
        "expects",
        "output",
        "start_s",
        "told_prompt",
        "worked",
        "worked_off_s",
    )

    def __init__(self, pace: Pace, start_s: float, prompt: int | None = None) -> None:
        self._pace = pace
        self.start_s = start_s
        self.worked = 0.0
        self.worked_off_s: float | None = None
        self._silent = False
        # Prompt tokens that it had done when it was not expected to have output; None: it was.
        self._unexpected_from: float | None = None
        self.corrections = NO_WORK
        self.told_prompt: int | None = None
        self.output = 0
        self.expects = True
        self._first: FirstToken | None = None
        self._first_s: float | None = None
        self._ended_s: float | None = None
        # The last time that it told of output: when, of how much, and how long that took.
        self._last_s = self._last_took_s = self._last_tokens = 0.0
        if prompt is not None:
            self._tell_prompt(prompt)
        pace.prompts.join(self, start_s)

    @property
    def prompt(self) -> float:
        """Its uncached prompt tokens, told or usual."""
        return (self._pace.prompt.value or 0.0) if self.told_prompt is None else self.told_prompt

    def tell(self, at_s: float, prompt: int | None = None, output: int = 0) -> None:
        """It has told of tokens.

        Args:
            at_s: when, monotonic.
            prompt: uncached prompt tokens so far; None: it says nothing of them.
            output: output tokens so far; fewer than before count as none.
        """
        before = NO_WORK
        if self._first_s is None:
            expected = self._expected_output(at_s)
            before = self.work(at_s) if expected else NO_WORK
            self._unexpected_from = None if expected else min(self.worked, self.prompt)
        if prompt is not None and prompt != self.told_prompt:
            self._tell_prompt(prompt)
            if output <= self.output:  # with its output, its prompt is done
                self._pace.prompts.grow(self)
        if output > self.output:
            self._tell_output(at_s, output - self.output)
        if before.output:
            self.corrections = self.corrections.plus(self.work(at_s).minus(before))

    def end(self, at_s: float) -> None:
        """It ended, and its model's pace learns from it."""
        self._ended_s = at_s
        pace, first_s = self._pace, self._first_s
        pace.prompts.leave(self, at_s)
        if first_s is None:
            return
        at_end = at_s - first_s <= _AT_END * (at_s - self.start_s)
        silent = at_end and not self._last_took_s
        pace.silent.add(float(silent))
        if silent:
            if self._unexpected_from is not None:
                unexpected = self.work(at_s).minus(Work(self._unexpected_from))
                self.corrections = self.corrections.plus(unexpected)
            # While no pace of prompts is known, a prompt is done at once: at its start, and not
            # when its length was told, which is at its end.
            began_s = self.start_s
            if self.worked_off_s is not None and pace.prompts.rate is not None:
                began_s = self.worked_off_s
            if began_s < first_s:
                pace.went(self.output, first_s - began_s)

    def work(self, at_s: float) -> Work:
        """All of its work up to ``at_s``; prompts as of the queue's last advance."""
        return Work(*self.done(at_s))

    def done(self, at_s: float) -> tuple[float, float, float]:
        """The same as a plain tuple, which is made sooner: it is asked of all in each window."""
        told = self.told_prompt
        prompt = (self._pace.prompt.value or 0.0) if told is None else told
        if self._first_s is None:
            if not self._silent and self._overdue(at_s):
                self.is_silent(at_s)
            done, output = min(self.worked, prompt), self._expected_output(at_s)
        else:
            done, output = prompt, self.output
            if self._ended_s is None and self._last_took_s:
                output = self._told_output(at_s)
        return done, output, output * (prompt + output / 2)

    def is_silent(self, at_s: float) -> None:
        """It is found to have had its first token, and not to tell of it."""
        silent, self._silent = self._silent, True
        if not silent and self.expects and self._first_s is None:
            usual = self._expected_output(at_s)
            missed = usual * (1 - (self._pace.silent.value or 0.0))
            context = missed * (self.prompt + usual - missed / 2)
            self.corrections = self.corrections.plus(Work(0.0, missed, context))

    def _tell_prompt(self, prompt: int) -> None:
        if self.told_prompt is None:
            self._pace.prompt.add(prompt)
        self.told_prompt = prompt

    def _tell_output(self, at_s: float, output: int) -> None:
        if self._first_s is None:
            self._first_s = at_s
            if self._silent or self._overdue(at_s):
                self._pace.prompts.leave(self, at_s)
            else:
                self._first = self._pace.prompts.first_token(self, at_s)
        elif at_s > self._first_s:
            if self._first is not None:
                self._pace.prompts.learn(self._first)
                self._first = None
            self._last_took_s = at_s - self._last_s
            self._pace.went(output, self._last_took_s)
        self.output += output
        self._last_s, self._last_tokens = at_s, output

    def _told_output(self, at_s: float) -> float:
        """Tokens told, and of the next as much as the time since the last lets expect."""
        part = max(0.0, at_s - self._last_s) / self._last_took_s
        return self.output + self._last_tokens * min(1.0, part)

    def _expected_output(self, at_s: float) -> float:
        rate = self._pace.output_rate.value
        if not rate or self.worked_off_s is None or not self.expects:
            return 0.0
        if self._ended_s is not None:
            at_s = min(at_s, self._ended_s)
        chance = 1.0 if self._silent else self._pace.silent.value or 0.0
        return max(0.0, rate * (at_s - self.worked_off_s) * chance)

    def _overdue(self, at_s: float) -> bool:
        """Whether its first token would have been told by now if it told them as they come."""
        rate = self._pace.output_rate.value
        if not rate or self.worked_off_s is None:
            return False
        usual_s = self.worked_off_s - self.start_s + 1 / rate
        return at_s - self.start_s > _OVERDUE * usual_s
