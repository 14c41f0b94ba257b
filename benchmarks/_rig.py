"""What the benchmarks borrow from the tests: the stand-in NVML and the powercap trees."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent


def from_tests(module: str, *, compiled: bool = True) -> Any:
    """A module of the tests' rig, which is not installed.

    Args:
        module: its name.
        compiled: whether it builds the stand-in NVML.

    Raises:
        SystemExit: the C compiler or pytest, which the rig needs, is missing.
    """
    if compiled and shutil.which("cc") is None:
        raise SystemExit("cc, which builds the stand-in NVML, is missing: apt-get install gcc")
    folder = str(REPO / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install -e '.[test]'") from error


def start(
    module: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A process that runs a module of this package, its input and output on pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=REPO,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
