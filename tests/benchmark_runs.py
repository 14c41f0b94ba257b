"""Quick runs of the benchmarks, and what their page says that they print."""

from __future__ import annotations

import json
import re
from typing import Any

from support import REPO, require_program, run_python

PAGE = REPO / "benchmarks" / "README.md"


def report_of(name: str) -> dict[str, Any]:
    """What a quick run of a benchmark prints: one JSON object, and nothing else."""
    result = run_python("-m", f"benchmarks.{name}", "--json", "--quick", timeout_s=110)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert isinstance(report, dict)
    return report


def documented(name: str) -> set[str]:
    """The figures in the table of a benchmark's section of the page."""
    section = re.split(r"^## ", PAGE.read_text(), flags=re.M)
    text = next(part for part in section if part.startswith(f"{name}\n"))
    return set(re.findall(r"^\| `(\w+)`", text, flags=re.M))


def require_compiler() -> None:
    """The stand-in NVML is built by the C compiler."""
    require_program("cc", "sudo apt-get install gcc libc6-dev")
