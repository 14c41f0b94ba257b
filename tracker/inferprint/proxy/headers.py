"""Headers: which go on, and what ours say. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inferprint.budget import Budget
from inferprint.errors import ConfigError

__all__ = ["Headers", "Wishes", "by_name", "onward", "wishes_of"]

Headers = list[tuple[bytes, bytes]]

OURS = b"x-inferprint-"
REQUEST_ID = OURS + b"request-id"
ENERGY = OURS + b"energy-joules"

# What is between two neighbours alone. Source: RFC 9110, section 7.6.1.
_HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
_NOT_ASKED_ON = _HOP_BY_HOP | {b"expect", b"host"}
_BUDGETS = {"energy_j": OURS + b"budget-joules", "carbon_g": OURS + b"budget-carbon-grams"}
_QUOTE = OURS + b"quote"
_INPUT = OURS + b"input-tokens"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asks of the proxy itself.

    Args:
        quote_only: to be told the quote, and nothing to run.
        budget: what the request may use.
        input_tokens: tokens of the prompt; None: by the length of its text.
    """

    quote_only: bool = False
    budget: Budget | None = None
    input_tokens: int | None = None

    @property
    def needs_quote(self) -> bool:
        """Whether it is to be quoted before it runs."""
        return self.quote_only or self.budget is not None


NO_WISHES = Wishes()


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Headers by their names in small letters; of equal names the first counts."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    return found


def onward(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a request that go on to the upstream."""
    headers = list(headers)
    dropped = _NOT_ASKED_ON | _named_by_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if (small := name.lower()) not in dropped and not small.startswith(OURS)
    ]


def back(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a reply that go back to the client."""
    headers = list(headers)
    dropped = _HOP_BY_HOP | _named_by_connection(headers)
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def without(headers: Headers, *names: bytes) -> Headers:
    """The headers but for some."""
    return [(name, value) for name, value in headers if name.lower() not in names]


def readable_coding(headers: Headers) -> Headers:
    """The same, but that no coding is accepted that a footprint can't be put into."""
    found: Headers = []
    for name, value in headers:
        if name.lower() == b"accept-encoding":
            value = b"gzip" if _accepts_gzip(value) else b"identity"
        found.append((name, value))
    return found


def _accepts_gzip(value: bytes) -> bool:
    for part in value.lower().split(b","):
        coding, _, weight = part.replace(b" ", b"").partition(b";q=")
        if coding in (b"gzip", b"x-gzip", b"*"):
            return weight.strip(b"0.") != b"" or weight == b""
    return False


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    values = [value for name, value in headers if name.lower() == b"connection"]
    return {part.strip() for value in values for part in value.lower().split(b",")}


def wishes_of(headers: Mapping[bytes, bytes]) -> Wishes:
    """What a request's headers ask of the proxy.

    Raises:
        ConfigError: a header of ours says what it can't.
    """
    if not any(name.startswith(OURS) for name in headers):
        return NO_WISHES
    given = {part: _above_0(headers, name) for part, name in _BUDGETS.items()}
    told = any(value is not None for value in given.values())
    quote = headers.get(_QUOTE)
    if quote not in (None, b"only"):
        raise ConfigError(_QUOTE.decode(), _shown(quote or b""), "only")
    return Wishes(quote is not None, Budget(**given) if told else None, _count(headers, _INPUT))


def _above_0(headers: Mapping[bytes, bytes], name: bytes) -> float | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(name.decode(), _shown(value), "a finite number above 0")
    return number


def _count(headers: Mapping[bytes, bytes], name: bytes) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not (value.isdigit() and len(value) <= 9):
        raise ConfigError(name.decode(), _shown(value), "a whole number of tokens, 0 or more")
    return int(value)


def _shown(value: bytes) -> str:
    return value[:64].decode("ascii", "replace")
