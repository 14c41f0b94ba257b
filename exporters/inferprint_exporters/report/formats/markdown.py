"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferprint_exporters.report.section import Section
from inferprint_exporters.report.view import sections

__all__ = ["render"]


def render(report: Mapping[str, Any]) -> str:
    """The report with its tables."""
    parts = ["# Energy of AI requests", *map(_section, sections(report)), _made(report)]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    return "\n\n".join(
        filter(None, [f"## {_plain(section.title)}", *_notes(section), _table(section)])
    )


def _notes(section: Section) -> Iterator[str]:
    return (_plain(note) for note in section.notes)


def _table(section: Section) -> str:
    if not section.columns or not section.rows:
        return ""
    lines = [_line(section.columns), "|---" * len(section.columns) + "|"]
    return "\n".join([*lines, *map(_line, section.rows)])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: a name may hold anything."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", one_line) if _has_name(one_line) else one_line


def _has_name(text: str) -> bool:
    return re.search(r"[\\`*\[\]<>|#&]|_.*_", text) is not None


def _made(report: Mapping[str, Any]) -> str:
    return f"Made at {report['made']['at']} by {report['made']['by']}."
