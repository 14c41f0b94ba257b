"""Writes the JSON of the dashboards anew: ``python -m inferprint_exporters.grafana``.

Needs the extra ``grafana``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inferprint_exporters.grafana.build import to_json
from inferprint_exporters.grafana.every import DASHBOARDS

FOLDER = Path(__file__).parent / "dashboards"


def main() -> None:
    """Writes one file a dashboard, beside this module."""
    for dashboard in DASHBOARDS:
        path = FOLDER / f"{dashboard.uid}.json"
        path.write_text(to_json(dashboard), "utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
