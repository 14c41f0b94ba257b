"""Compiles the stand-in library with the machine's C compiler."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from nvml_sim import state

SOURCE = Path(__file__).with_name("nvml_sim.c")
LIBRARY = "libnvidia-ml.so.1"


def build(folder: Path, without: Collection[str] = ()) -> Path:
    """Compiles the library into a folder.

    Args:
        folder: where it is put.
        without: names of functions that an old driver does not have.

    Returns:
        The library's path; its folder is what LD_LIBRARY_PATH needs.
    """
    from support import require_program

    compiler = require_program("cc", "sudo apt-get install gcc libc6-dev")
    defines = [f"-D{name}={value}" for name, value in state.macros().items()]
    defines += [f"-D{name}=absent_{name}" for name in without]
    target = folder / LIBRARY
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
    command = [compiler, *flags, *defines, f"-Wl,-soname,{LIBRARY}", str(SOURCE), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


@functools.cache
def built(without: frozenset[str]) -> Path:
    """The library in a folder of its own, compiled once in this process for each choice."""
    folder = tempfile.mkdtemp(prefix="nvml-sim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(Path(folder), without)
