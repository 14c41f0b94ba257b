"""A report as one HTML page that needs nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferprint_exporters.report.formats.plots import plots
from inferprint_exporters.report.view import sections

__all__ = ["render"]


def render(report: Mapping[str, Any]) -> str:
    """The page, with its plots inside."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("inferprint_exporters.report.formats"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    found = list(sections(report))
    return template.render(
        first=found[:2], rest=found[2:], plots=plots(report), made=report["made"]
    )
