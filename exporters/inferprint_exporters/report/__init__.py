"""``inferprint report``: what the receipts of a store add up to."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferprint._config import Config
from inferprint.cli import OK, Subparsers
from inferprint.errors import ConfigError, InferprintError, MissingExtra

if TYPE_CHECKING:
    from inferprint_exporters.report.question import Question
    from inferprint_exporters.report.reading import Found

__all__ = ["add_parser", "run"]

FORMATS = ("markdown", "html", "json", "csv", "codecarbon-csv", "if", "boamps")


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``report``."""
    parser = subparsers.add_parser("report", help="what the receipts of a store add up to")
    parser.add_argument("--store", metavar="URL", help="the store (default: store_url)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--output", metavar="FILE", help="write to a file")
    parser.add_argument("--since", metavar="TIME", help="requests that started then or later")
    parser.add_argument("--until", metavar="TIME", help="requests that started before")
    parser.add_argument("--model", action="append", default=[], help="of this model; repeatable")
    parser.add_argument(
        "--label", action="append", default=[], metavar="NAME=VALUE", help="with it; repeatable"
    )
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two models, or tenant=A")
    parser.add_argument("--sensitivity", action="store_true", help="what moves the totals most")
    parser.add_argument("--include-hosted", action="store_true", help="estimates among the totals")
    parser.add_argument(
        "--bare-idle-w", type=_number, metavar="W", help="power with no model loaded"
    )
    parser.add_argument("--load-energy-j", type=_number, metavar="J", help="to load a model once")
    parser.add_argument("--context", metavar="FILE", help="what else a BoAmps report is to say")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a finite number of at least 0")
    return value


def run(args: argparse.Namespace) -> int:
    """Prints the report.

    Raises:
        ConfigError: an option is not usable, or there is no store.
        InferprintError: the store can't be read, or the file not written.
        MissingExtra: a package that the form needs is not installed.
    """
    try:
        text = _made(args)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in ("sqlalchemy", "jinja2", "matplotlib", "yaml", "markupsafe"):
            raise
        raise MissingExtra("inferprint report", "report") from None
    _write(text, args.output)
    return OK


def _made(args: argparse.Namespace) -> str:
    from inferprint_exporters.report.compare import compare
    from inferprint_exporters.report.content import content, finite
    from inferprint_exporters.report.sensitivity import sensitivity

    question = _question(args)
    found = _found(args.store, question)
    report = content(found, question)
    if args.compare:
        report["compare"] = compare(found, args.compare)
    if args.sensitivity:
        report["sensitivity"] = sensitivity(found)
    return _text("json" if args.json else args.format, finite(report), found, args.context)


def _question(args: argparse.Namespace) -> Question:
    from inferprint_exporters.report.question import Question, instant, label

    since_s, until_s = instant("--since", args.since), instant("--until", args.until)
    if since_s is not None and until_s is not None and until_s <= since_s:
        raise ConfigError("--until", args.until, f"a time after --since {args.since}")
    return Question(
        since_s,
        until_s,
        tuple(args.model),
        args.include_hosted,
        args.bare_idle_w,
        args.load_energy_j,
        tuple(map(label, args.label)),
    )


def _found(url: str | None, question: Question) -> Found:
    from sqlalchemy.exc import DBAPIError

    from inferprint_exporters.progress import busy
    from inferprint_exporters.report.reading import read
    from inferprint_exporters.store.opening import of_store, open_store

    field, url = ("--store", url) if url else ("store_url", Config().store_url)
    if url is None:
        expected = "the database that the exporter 'store' writes to"
        raise ConfigError("store_url", None, expected, "Give --store URL.")
    engine = open_store(url, create=False, field=field)
    try:
        with busy("Reading the store"):
            return read(engine, question)
    except DBAPIError as error:
        raise of_store(error, engine) from error


def _text(form: str, report: dict[str, Any], found: Found, context: str | None) -> str:
    """The report in one form; each is imported when it is asked for."""
    from inferprint_exporters.report.formats import boamps, codecarbon, manifest, markdown, table

    if form == "html":
        from inferprint_exporters.report.formats import page

        return page.render(report)
    if form == "boamps":
        made = boamps.render(report, found, boamps.context(context))
        _say_missing(boamps.missing(made))
        return _json(made)
    if form == "codecarbon-csv":
        return codecarbon.render(report, found)
    if form == "if":
        return manifest.render(report, found)
    return {"json": _json, "csv": table.render, "markdown": markdown.render}[form](report)


def _json(report: Any) -> str:
    return json.dumps(report, ensure_ascii=False, allow_nan=False) + "\n"


def _say_missing(fields: list[str]) -> None:
    if fields:
        needed = ", ".join(fields)
        sys.stderr.write(
            f"inferprint: not a complete BoAmps report, for want of {needed}: give --context FILE\n"
        )


def _write(text: str, path: str | None) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as error:
        raise InferprintError(f"--output={path!r}: {error}") from error
