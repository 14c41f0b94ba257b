"""What tests share: parts that a machine may lack, and scripts run in a fresh process."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

REPO = Path(__file__).resolve().parent.parent


def missing(name: str, install: str) -> NoReturn:
    """Skips the test, naming the part and the command that brings it.

    Under ``CI=true`` it fails instead: a part that is missing there would hide a fault.
    """
    message = f"{name} is missing: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def require_program(name: str, install: str) -> str:
    """The path of a program that the test runs, or ``missing``."""
    return shutil.which(name) or missing(name, install)


def require_module(name: str, install: str) -> Any:
    """A large package that the test imports, or ``missing``."""
    package = name.partition(".")[0]
    return importlib.import_module(name) if find_spec(package) else missing(package, install)


def run_python(
    *args: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter with ``args``, warnings as errors, and ``env`` added."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, args)],
        cwd=REPO,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
