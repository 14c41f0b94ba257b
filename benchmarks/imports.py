"""What ``import inferprint`` takes, beside ``import prometheus_client``, in fresh interpreters."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

from benchmarks._report import Report, main

HEAVY = ("codecarbon", "numpy", "pandas", "pydantic", "requests", "torch")
SCRIPT = """
import json, sys, time
before = set(sys.modules)
began_s = time.process_time()
import {module}
taken_s = time.process_time() - began_s
print(json.dumps([taken_s * 1e3, sorted(set(sys.modules) - before)]))
"""


def fresh_import(module: str) -> tuple[float, list[str]]:
    """Milliseconds of CPU time that an import takes, and the modules that it loads."""
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    found: Any = json.loads(subprocess.check_output(command))
    return found[0], found[1]


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    ours_ms, theirs_ms = [], []
    loaded: list[str] = []
    for _ in range(7 if quick else 41):
        taken_ms, loaded = fresh_import("inferprint")
        ours_ms.append(taken_ms)
        theirs_ms.append(fresh_import("prometheus_client")[0])
    return {
        "inferprint_ms": median(ours_ms),
        "prometheus_client_ms": median(theirs_ms),
        "difference_ms": median(a - b for a, b in zip(ours_ms, theirs_ms, strict=True)),
        "modules": len(loaded),
        "heavy_modules": [name for name in HEAVY if name in loaded],
    }


if __name__ == "__main__":
    main(__doc__, measure)
