"""Quotes against what was used, on a simulated server, through the public names alone."""

from __future__ import annotations

import json

import pytest

from support import run_python


@pytest.mark.parametrize(("server", "concurrency"), [("affine", 16), ("saturating", 64)])
def test_quotes_on_served_load(server: str, concurrency: int) -> None:
    """Behind a sensor that sees 25 of each 100 ms, after a minute: the median error of quotes is
    at most 10 %, and of the time that requests take 2 %; the interval holds at least 88 % of
    them, also where the length of the output is not known.
    """
    cell = ("--cells", f"{server}/25-of-100/{concurrency}")
    result = run_python(
        *("-m", "benchmarks.attribution.quoted", *cell),
        *("--seeds", "1007,1008,1009,1010", "--seconds", "150", "--json"),
    )
    assert result.returncode == 0, result.stderr
    (errors,) = json.loads(result.stdout)["cells"]
    assert errors["energy"]["requests"] > 300
    assert errors["energy"]["unknown"] == 0
    assert errors["energy"]["median"] <= 0.10, errors
    assert errors["time"]["median"] <= 0.02, errors
    for what in ("energy", "energy, maximum alone"):
        assert errors[what]["covered"] >= 0.88, errors
