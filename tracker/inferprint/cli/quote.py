"""``inferprint quote``: what a request would use, by what a tracker has saved."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from inferprint._config import Config
from inferprint.cli import FAILED, OK, Subparsers
from inferprint.records import IdlePolicyName

if TYPE_CHECKING:
    from inferprint.quote import Quote
    from inferprint.saved import Saved

NO_STATE = (
    "nothing was saved to quote by: run the server with INFERPRINT_LEARNED_PATH=FILE, or call "
    "tracker.save(FILE), and give --state FILE"
)


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``quote``."""
    parser = subparsers.add_parser("quote", help="what a request would use, before it runs")
    parser.add_argument("--model", required=True, help="its name, as requests are made with")
    parser.add_argument("--input", type=int, required=True, help="prompt tokens")
    parser.add_argument("--cached-input", type=int, default=0, help="those of them in a cache")
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--output", type=int, help="output tokens")
    output.add_argument("--max-output", type=int, help="output tokens at most")
    parser.add_argument("--state", help="what a tracker saved; by default learned_path")
    parser.add_argument(
        "--equivalences", action="store_true", help="say what else takes as much energy"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the quote, at the load and idle power of when the state was saved.

    Returns:
        0 when its energy is known, else 1.

    Raises:
        ConfigError: a count or the state is not usable.
    """
    from inferprint.factors import resolve
    from inferprint.quotation import asked, quote_of
    from inferprint.saved import Saved, from_plain, read

    config = Config()
    request = asked(args.model, args.input, args.output, args.max_output, args.cached_input)
    path = args.state or config.learned_path
    found = read(path, "--state" if args.state else "learned_path") if path else None
    saved = Saved() if found is None else from_plain(found)
    # A policy that is not known any more can't have been saved by this version.
    policy = cast(IdlePolicyName, saved.idle_policy)
    quote = quote_of(saved.outlook, request, resolve(config), policy)
    if found is None:
        quote = replace(quote, reason=NO_STATE)
    if args.json:
        print(json.dumps(quote.to_dict() | {"saved_at": saved.saved_at or None}))
    else:
        print(quote)
        if args.equivalences:
            _print_alike(quote)
        _print_when(saved)
    return FAILED if quote.energy.total_j is None else OK


def _print_alike(quote: Quote) -> None:
    # Imported here: not all want it, and it reads a file.
    from inferprint.equivalences import shipped
    from inferprint.readable import site_energy

    joules = site_energy(quote.energy)
    if joules is not None:
        for one in shipped():
            print(f"as much as {one.of(joules)} ({one.source}, {one.year})")


def _print_when(saved: Saved) -> None:
    if saved.saved_at:
        print(f"At the load and idle power of {saved.saved_at}, when this was saved.")
