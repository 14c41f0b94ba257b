"""Makes quotes of an outlook, the factors and token counts.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from inferprint.errors import ConfigError, TokenError
from inferprint.footprint import footprint
from inferprint.items import itemised
from inferprint.learning.record import Spread
from inferprint.quote import Quote
from inferprint.ranges import Range
from inferprint.records import ComponentEnergy, Energy, IdlePolicyName
from inferprint.tokens import checked

if TYPE_CHECKING:
    from inferprint.factors import Factors
    from inferprint.outlook import Expected, ModelOutlook, Outlook

RECEIPT_ERROR = 0.03
"""Receipts themselves are off by about this (90 % of them, relative): by the noise of the sensor,
and the weights' errors. Source: benchmarks/attribution, whose median error of 1.2 to 1.5 % is that
of a normal distribution with 3 to 3.7 %."""

_UNKNOWN = Energy(None, None, None, None, None, {})


class Asked(NamedTuple):
    """What is to be quoted: checked token counts."""

    model: str
    input: int
    cached: int
    output: int | None
    most: int | None

    @property
    def prompt(self) -> int:
        """Prompt tokens that have to be computed."""
        return self.input - self.cached


def asked(
    model: str,
    input_tokens: int,
    output_tokens: int | None,
    max_output_tokens: int | None,
    cached_input_tokens: int,
) -> Asked:
    """The arguments of a quote, checked.

    Raises:
        TokenError: a count is negative or not a whole number, or more tokens are cached than
            the prompt has.
        ConfigError: not exactly one of the two output counts is given.
    """
    if (output_tokens is None) == (max_output_tokens is None):
        raise ConfigError(
            "output_tokens",
            output_tokens,
            f"either it or max_output_tokens, not both or neither (that is {max_output_tokens!r})",
        )
    prompt = checked("input_tokens", input_tokens)
    cached = checked("cached_input_tokens", cached_input_tokens)
    if cached > prompt:
        raise TokenError("cached_input_tokens", cached, f"at most input_tokens, {prompt}")
    output = None if output_tokens is None else checked("output_tokens", output_tokens)
    most = None if max_output_tokens is None else checked("max_output_tokens", max_output_tokens)
    return Asked(str(model), prompt, cached, output, most)


def quote_of(
    outlook: Outlook, request: Asked, factors: Factors, idle_policy: IdlePolicyName
) -> Quote:
    """The quote of a request.

    Args:
        outlook: what is known now.
        request: what is to be quoted.
        factors: what energy means.
        idle_policy: who pays for idle energy.
    """
    known = outlook.models.get(request.model)
    output: float | None = request.output
    if output is None and known is not None:
        output = known.usual.output(request.most)
    expected = None if output is None else outlook.expected(request.model, request.prompt, output)
    made = Quote(
        request.model,
        request.input,
        request.cached,
        output,
        request.most,
        outlook.crowd.running,
        _UNKNOWN,
        None,
        None,
        None,
        idle_policy,
        "unknown",
    )
    if known is None or expected is None:
        return replace(made, reason=_reason(outlook, request))
    energy, provenance = itemised(expected.parts)
    energy_spread, duration_spread = _spreads(outlook, request, known, expected)
    energy = _widened_energy(energy, energy_spread)
    meaning = footprint(energy.total_j, factors, expected.share_s)
    return replace(
        made,
        energy=replace(energy, overhead_j=meaning.overhead_j),
        duration_s=_widened(Range.exactly(expected.duration_s), duration_spread, 0.0),
        carbon=meaning.carbon,
        water=meaning.water,
        materials=meaning.materials,
        primary_energy=meaning.primary_energy,
        cost=meaning.cost,
        provenance=provenance,
        flags=meaning.flags.union(*(part.said for part in expected.parts)),
        factors=factors.as_tuple(),
    )


def _reason(outlook: Outlook, request: Asked) -> str:
    why = outlook.unknown(request.model)
    return why or f"no request of model {request.model!r} has come to its end yet"


def _spreads(
    outlook: Outlook, request: Asked, known: ModelOutlook, expected: Expected
) -> tuple[Spread, Spread]:
    """Factors on the energy and the duration. Where only a maximum is told, none can be beyond
    those of the shortest and the longest output.
    """
    if request.output is not None:
        return known.known.energy, known.known.duration
    most = request.most if request.most is not None else 0
    least, largest = (
        outlook.expected(request.model, request.prompt, output) for output in (min(1, most), most)
    )
    assert least is not None
    assert largest is not None
    guessed, told = known.guessed, known.known
    return (
        _limited(guessed.energy, told.energy, expected.total_j, least.total_j, largest.total_j),
        _limited(
            guessed.duration,
            told.duration,
            expected.duration_s,
            least.duration_s,
            largest.duration_s,
        ),
    )


def _limited(guess: Spread, told: Spread, figure: float, least: float, largest: float) -> Spread:
    if figure <= 0:
        return guess
    low = max(guess.low, told.low * least / figure)
    high = min(guess.high, told.high * largest / figure)
    mid = max(told.mid * least / figure, min(told.mid * largest / figure, high, guess.mid))
    return Spread(min(low, mid), mid, max(high, mid))


def _widened(figure: Range, spread: Spread, least: float = RECEIPT_ERROR) -> Range:
    """A figure with the sensor's error, at the record's middle and with its spread, and ``least``
    to either side. They are independent, so their squares add up.
    """
    mid = figure.mid * spread.mid
    if mid <= 0:
        return Range(mid, mid, mid)
    sensor = (figure.high - figure.mid) / figure.mid
    below = math.hypot(math.log(spread.mid / spread.low), sensor, least)
    above = math.hypot(math.log(spread.high / spread.mid), sensor, least)
    return Range(mid * math.exp(-below), mid, mid * math.exp(above))


def _widened_energy(energy: Energy, spread: Spread) -> Energy:
    def widened(figure: Range | None) -> Range | None:
        return None if figure is None else _widened(figure, spread)

    return Energy(
        widened(energy.active_j),
        widened(energy.idle_j),
        widened(energy.standing_j),
        None,
        widened(energy.total_j),
        {name: _widened_component(part, widened) for name, part in energy.by_component.items()},
    )


def _widened_component(
    part: ComponentEnergy, widened: Callable[[Range | None], Range | None]
) -> ComponentEnergy:
    return ComponentEnergy(
        widened(part.active_j),
        widened(part.idle_j),
        widened(part.standing_j),
        widened(part.total_j),
        part.provenance,
    )
