"""What workers and the agent say to each other, as plain lists. Pure.

A worker greets with its version first, then sends batches: all that happened up to an instant of
the host's monotonic clock. The agent answers with what it is, and then with settlements, with the
load of now, and with what it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard, get_args

from inferprint.agent.frames import BadFrame
from inferprint.records import Outcome

VERSION: Final = 1
"""Of these messages; both sides must have the same."""

# From a worker.
HELLO: Final = 0  # version, prefix of its request ids, its clock now (ns)
BATCH: Final = 1  # up to (ns), CPU time of its process (ns), events, CPU clocks of threads
ASK: Final = 2  # BALANCE or OUTLOOK
FEEDBACK: Final = 3  # request id, whether it was of use

# From the agent.
WELCOME: Final = 0  # version, what it is
REFUSED: Final = 1  # why, for people
SETTLED: Final = 2  # settlements
NEWS: Final = 3  # the load of now, for estimates; how often to be heard of (ns)
BALANCE: Final = 4
OUTLOOK: Final = 5

# Events of a batch; each begins with its kind, its instant and its request's number.
START: Final = 0
TOKENS: Final = 1
END: Final = 2

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# Bits of what an end says of its tokens.
UNREADABLE, COUNTED = 1, 2

MOST_NS: Final = 1 << 62
MOST_CHARACTERS: Final = 256
"""Of a model's name, and of a label's name and value; the rest is cut off."""
MOST_LABELS: Final = 64
MOST_DEVICES: Final = 64

_PREFIX = re.compile("[0-9a-f]{12}")


Event: TypeAlias = list[Any]
"""A list by its kind; plain, as a hundred thousand of them come in a second.

- ``START``, when (ns), number of the request, model, labels or None, number of the request that it
  runs inside, id of the thread that it owns, that thread's CPU clock (ns), output tokens at most,
  the devices that it names (left out where it names none), whether it was told of before, on a
  connection that was lost
- ``TOKENS``, when, number, its tokens so far: input, cached input, output; when it first told of
  output tokens, and of how many
- ``END``, the same, and: place of its outcome in ``OUTCOMES``, when its first token came,
  ``UNREADABLE`` and ``COUNTED``, CPU clock of the thread that it owns
"""


class Batch(NamedTuple):
    """All that happened in a worker up to an instant.

    Args:
        upto_ns: the instant.
        cpu_ns: CPU time of its process.
        events: starts, tokens told, ends.
        clocks: CPU clocks of the threads that requests own, by the requests' numbers.
    """

    upto_ns: int
    cpu_ns: int
    events: list[Event]
    clocks: list[tuple[int, int]]


def check_hello(message: object) -> str:
    """The prefix of a worker's request ids.

    Raises:
        BadFrame: it is no greeting of this version.
    """
    if not isinstance(message, list) or len(message) < 2 or message[0] != HELLO:
        raise BadFrame("no greeting came first: is this inferprint?")
    if message[1] != VERSION:
        raise BadFrame(
            f"a worker of version {str(message[1])[:20]} of the agent's protocol, and this agent "
            f"is of version {VERSION}: install the same inferprint for both"
        )
    if len(message) != 4 or not _is_whole(message[3], MOST_NS):
        raise BadFrame("a greeting that is none")
    prefix = message[2]
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise BadFrame("a greeting with no prefix of request ids")
    return prefix


def read_batch(message: Sequence[Any], now_ns: int) -> Batch:
    """A batch, checked.

    Args:
        message: as it came.
        now_ns: no instant of it is later: one that is counts as now.

    Raises:
        BadFrame: it is none.
    """
    try:
        _, upto_ns, cpu_ns, events, clocks = message
        for event in events:
            _CHECKS[event[0]](event)
            if event[1] > now_ns:
                event[1] = now_ns
        pairs = [(_whole(number), _whole(clock)) for number, clock in clocks]
        return Batch(min(_whole(upto_ns), now_ns), _whole(cpu_ns), events, pairs)
    except (TypeError, ValueError, LookupError) as error:
        raise BadFrame(f"a batch that is none: {error}") from error


def _check_start(event: Event) -> None:
    _, at_ns, number, model, labels, *numbers, resumed = event
    if len(numbers) == 5:
        _check_devices(numbers.pop())
    _check_whole((at_ns, number), ())
    _check_whole(numbers)
    if len(numbers) != 4 or type(model) is not str or type(resumed) is not bool:
        raise ValueError("a start that is none")
    if labels is not None and not _are_texts(labels):
        raise ValueError("a start with labels that are no texts")


def _check_devices(names: object) -> None:
    if not isinstance(names, list) or len(names) > MOST_DEVICES:
        raise ValueError("a start with too many devices")
    if not all(type(name) is str for name in names):
        raise ValueError("a start with devices that are no texts")


def _check_tokens(event: Event) -> None:
    _, at_ns, number, prompt, cached, output, first_ns, first_count = event
    # Written out: nearly all events are these.
    if (
        type(at_ns) is not int
        or type(number) is not int
        or (prompt is not None and (type(prompt) is not int or prompt < 0))
        or (cached is not None and (type(cached) is not int or cached < 0))
        or (output is not None and (type(output) is not int or output < 0))
        or (first_ns is not None and (type(first_ns) is not int or first_ns < 0))
        or (first_count is not None and (type(first_count) is not int or first_count < 0))
    ):
        raise ValueError("tokens that are no counts")


def _check_end(event: Event) -> None:
    *told, outcome, first_token_ns, said, cpu_ns = event
    _check_tokens(told)
    _check_whole((outcome, said), ())
    _check_whole((first_token_ns, cpu_ns))
    if outcome >= len(OUTCOMES) or said > UNREADABLE | COUNTED:
        raise ValueError("an end that says what is not known")


def _check_whole(values: Iterable[object], besides: tuple[None, ...] = (None,)) -> None:
    for value in values:
        if value not in besides and (type(value) is not int or value < 0):
            raise ValueError("a number that is none")


_CHECKS: dict[int, Callable[[Event], None]] = {
    START: _check_start,
    TOKENS: _check_tokens,
    END: _check_end,
}


def _are_texts(labels: object) -> bool:
    if not isinstance(labels, dict) or len(labels) > MOST_LABELS:
        return False
    return all(type(text) is str for pair in labels.items() for text in pair)


def _is_whole(value: object, most: int) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= most


def _whole(value: object) -> int:
    if not _is_whole(value, MOST_NS):
        raise ValueError("a number that is none")
    return value
