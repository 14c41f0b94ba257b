"""Runs a test's body in a process that starts with the stand-in library in its path.

The loader reads LD_LIBRARY_PATH only when a process starts, and pynvml keeps what it has
loaded, so each body has a process of its own.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection
from typing import Any

from nvml_sim.simulator import SimGpu, Simulator

Body = Callable[[Simulator], None]


def simulated(
    *gpus: SimGpu, without: Collection[str] = (), env: dict[str, str] | None = None
) -> Any:
    """Makes a test of a function that takes a ``Simulator``; it runs in a process of its own.

    Args:
        gpus: the boards that the driver has at first.
        without: names of functions that the library lacks.
        env: environment variables that the process has beside the simulator's.
    """

    def decorate(body: Body) -> Callable[[], None]:
        file, name = inspect.getfile(body), body.__name__

        def test() -> None:
            import pytest

            from support import run_python

            with Simulator(*gpus, without=without) as sim:
                script = f"from nvml_sim.process import main; main({file!r}, {name!r})"
                result = run_python("-c", script, env={**sim.env, **(env or {})})
            if result.returncode:
                pytest.fail(result.stdout + result.stderr, pytrace=False)

        test.__name__, test.__doc__, test.__module__ = name, body.__doc__, body.__module__
        test.body = body  # type: ignore[attr-defined]
        return test

    return decorate


def main(file: str, name: str) -> None:
    """Runs the body of the test ``name`` of ``file`` on the simulator in the environment."""
    spec = importlib.util.spec_from_file_location("body", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["body"] = module
    spec.loader.exec_module(module)
    with Simulator.attach() as sim:
        getattr(module, name).body(sim)
