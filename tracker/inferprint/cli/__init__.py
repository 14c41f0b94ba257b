"""The command line: one file a command.

A command is a module with ``add_parser(subparsers)``, which describes it, and
``run(args) -> int``, which does it. The commands of other packages come through the entry
point group ``inferprint.commands``, whose entries are such modules.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeAlias

from inferprint._version import __version__
from inferprint.errors import ConfigError, InferprintError

__all__ = ["FAILED", "OK", "WRONG_USAGE", "Command", "Subparsers", "main"]

OK, FAILED, WRONG_USAGE = 0, 1, 2
"""The exit codes."""

COMMANDS = ("agent", "demo", "doctor", "factors", "proxy", "quote", "run")
"""The commands of this package: modules of ``inferprint.cli``, light to import."""

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Command(Protocol):
    """What a command's module has."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Adds the command's name, help and arguments."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Does it and returns the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments after the program's name; None: those of this process.

    Returns:
        0: done. 1: it failed. 2: wrong usage, a wrong setting among it.

    Raises:
        SystemExit: argparse ends it, with 2 for wrong usage and 0 for ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog="inferprint", description="An itemised energy receipt for every AI request."
    )
    parser.add_argument("--version", action="version", version=f"inferprint {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _commands():
        _add(command, subparsers)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except InferprintError as error:
        print(f"inferprint: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED


def _add(command: Command, subparsers: Subparsers) -> None:
    """Adds a command, and its ``run`` as the default that ``main`` calls."""
    before = set(subparsers.choices)
    command.add_parser(subparsers)
    for name in set(subparsers.choices) - before:
        subparsers.choices[name].set_defaults(run=command.run)


def _commands() -> Iterator[Command]:
    for name in COMMANDS:
        command: Any = importlib.import_module(f"inferprint.cli.{name}")
        yield command
    for entry in sorted(entry_points(group="inferprint.commands"), key=lambda entry: entry.name):
        try:
            yield entry.load()
        except ImportError as error:
            print(f"inferprint: {entry.name} is not available: {error}", file=sys.stderr)
