"""What the site needs beyond the pages: their order, and links that GitHub alone can follow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SECTIONS = {
    "Start": ("index", "start", "pictures"),
    "How it works": ("concepts", "footprint", "factors", "intensity", "figures"),
    "Use": ("integrations", "quotes", "hosted", "top", "report", "devices", "rapl"),
    "Many processes, many hosts": ("agent", "fleet"),
    "Reference": ("cli", "configuration", "metrics"),
}
"""Pages in the order in which they are read; the others follow under ``More``."""

OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]+\)")
"""A link to a file of the repository that is no page."""


def on_config(config: Any) -> Any:
    """Gives each page of the folder its place."""
    rest = {path.stem for path in Path(config["docs_dir"]).glob("*.md")}
    rest -= {name for names in SECTIONS.values() for name in names}
    sections = {**SECTIONS, **({"More": tuple(sorted(rest))} if rest else {})}
    config["nav"] = [{title: [f"{n}.md" for n in names]} for title, names in sections.items()]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leaves of a link that leads out of the site its text."""
    return OUTSIDE.sub(r"\1", markdown)
