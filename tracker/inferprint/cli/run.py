"""``inferprint run``: a receipt for a whole command, whose code is not changed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from inferprint._config import Config, environment
from inferprint.cli import OK, Subparsers
from inferprint.errors import ConfigError
from inferprint.launch import NOT_EXECUTABLE, NOT_FOUND, SIGNALLED, Launched, signals_held

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.receipt import Receipt
    from inferprint.records import Balance, Outcome

SETTLE_S = 5.0
"""How long the receipt is waited for: its last windows close within an interval or two."""

LISTENING = ("live", "prometheus")
"""Exporters on ports, which the command may want for itself."""

CANCELLED = {SIGNALLED + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}


@dataclass(frozen=True, slots=True)
class Run:
    """A command that has ended, and what it used.

    Args:
        command: the program and its arguments.
        exit_code: as a shell tells it.
        cpu_s: CPU seconds of its processes.
        receipt: of all of it.
        balance: the books of the devices, from its start to its end.
    """

    command: Sequence[str]
    exit_code: int
    cpu_s: float
    receipt: Receipt
    balance: Balance


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``run``."""
    parser = subparsers.add_parser(
        "run",
        help="run a command, and print a receipt for what all its processes used",
        usage="inferprint run [OPTION ...] -- COMMAND [ARGUMENT ...]",
    )
    parser.add_argument("--model", metavar="NAME", help="the receipt's model (the program's name)")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        type=_label,
        metavar="NAME=VALUE",
        help="a label of the receipt; may be given several times",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the receipt here, and not after the command's output",
    )
    parser.add_argument(
        "--json", action="store_true", help="the receipt as one JSON object, on stdout"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command, after --")


def _label(text: str) -> tuple[str, str]:
    name, is_set, value = text.partition("=")
    if not (name and is_set):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE, such as team=search")
    return name, value


def run(args: argparse.Namespace) -> int:
    """Runs the command and then prints its receipt.

    Returns:
        The command's exit code; 128 and the signal that ended it; 126 or 127 where it could not be
        started.

    Raises:
        ConfigError: there is no command, or the file can't be written.
    """
    command: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        expected = "a program and its arguments"
        raise ConfigError("COMMAND", "", expected, "Such as: inferprint run -- python train.py")
    with _opened(args.output, sys.stdout if args.json else sys.stderr) as file:
        try:
            ran = measured(command, args.model or os.path.basename(command[0]), dict(args.label))
        except OSError as error:
            print(f"inferprint: {command[0]}: {error.strerror}", file=sys.stderr)
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        print(as_json(ran) if args.json else as_text(ran), file=file)
    return ran.exit_code


@contextmanager
def _opened(path: str | None, default: TextIO) -> Iterator[TextIO]:
    """The file that the receipt goes to, opened before the command runs, which may take days."""
    if path is None:
        yield default
        return
    try:
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - its closing may not hide the rest
    except OSError as error:
        expected = f"a file in a folder that this user can write to ({error.strerror})"
        folder = os.path.dirname(os.path.abspath(path))
        raise ConfigError("--output", path, expected, f"mkdir -p {folder}") from error
    with file:
        yield file


def measured(command: Sequence[str], model: str, labels: Mapping[str, str]) -> Run:
    """Runs a command to its end, and settles its receipt.

    Args:
        command: the program and its arguments.
        model: the receipt's model.
        labels: the receipt's labels.

    Raises:
        OSError: the program can't be started.
    """
    from inferprint._runtime import Tracker
    from inferprint.sources.detect import detect
    from inferprint.sources.tree_usage import TreeTimes

    config = Config()
    named = tuple(name for name in config.exporters if name not in LISTENING)
    # An agent knows of this process's work alone, and not of the command's.
    # What the command itself learns and saves is not to be overwritten; and a meter that is asked
    # by a program would lose its exit code to whoever waits for all that the command leaves.
    config = replace(config, exporters=named, learned_path=None, wall_meter=None, agent=None)
    times = TreeTimes()
    # Before the tracker's threads start: they are to leave the signals to this one.
    with signals_held(), Tracker(config, sources=detect(config, times=times).sources) as tracker:
        return _measured(tracker, command, model, labels, times)


def _measured(
    tracker: Tracker,
    command: Sequence[str],
    model: str,
    labels: Mapping[str, str],
    times: Any,
) -> Run:
    request = tracker.request(model, labels=labels)
    request._begin(owns_thread=False)
    try:
        code = Launched(command, environment()).wait()
    except BaseException:
        request._end("error")
        raise
    request._end(_outcome(code))
    tracker.flush(SETTLE_S)
    receipt = request.receipt(SETTLE_S)
    return Run(command, code, times.own_s(), receipt, tracker.balance())


def _outcome(code: int) -> Outcome:
    if code == OK:
        return "ok"
    return "cancelled" if code in CANCELLED else "error"


def as_json(ran: Run) -> str:
    """One JSON object."""
    books = {name: asdict(device) for name, device in ran.balance.devices.items()}
    return json.dumps(
        {
            "command": list(ran.command),
            "exit_code": ran.exit_code,
            "cpu_s": ran.cpu_s,
            "receipt": ran.receipt.to_dict(),
            "devices": books,
        }
    )


def as_text(ran: Run) -> str:
    """A line for each figure."""
    from inferprint.readable import figure, in_wh, word_rows

    receipt = ran.receipt
    ended = f"exit code {ran.exit_code} after {figure(receipt.duration_s, 's')}"
    rows = word_rows(receipt) + [
        (name, f"{in_wh(part.total_j, interval=True)}, {part.provenance}")
        for name, part in receipt.energy.by_component.items()
    ]
    rows.append(("CPU time", figure(ran.cpu_s, "s")))
    if receipt.flags:
        rows.append(("flags", ", ".join(sorted(receipt.flags))))
    lines = [f"{name:{max(len(name) for name, _ in rows)}}  {text}" for name, text in rows]
    return "\n".join([f"inferprint: {ran.command[0]}: {ended}", *lines])
