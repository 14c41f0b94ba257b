"""The table of idle power."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from inferprint.sources.gpu_idle import tabled_idle_w


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("NVIDIA H100 80GB HBM3", 121.7),
        ("NVIDIA A100 80GB PCIe", 80.0),
        ("NVIDIA L40S", 102.1),
        ("L40S", 102.1),
    ],
)
def test_a_measured_model_has_its_idle_power(name: str, watts: float) -> None:
    """Watts with a CUDA context, as a serving process has one, and who measured them."""
    found = tabled_idle_w(name)
    assert found is not None
    assert found[0] == watts
    assert "arXiv:2605.23918" in found[1]


@pytest.mark.parametrize("name", ["NVIDIA H100 PCIe", "NVIDIA L40", "NVIDIA A100-SXM4-80GB", ""])
def test_another_model_has_none(name: str) -> None:
    """A name that is only alike is another board: unknown, not a guess."""
    assert tabled_idle_w(name) is None


def test_every_row_is_plausible_and_sourced() -> None:
    """A context never lowers the draw, and no product is in two rows."""
    rows = json.loads(resources.files("inferprint").joinpath("data/gpu_idle.json").read_text())
    products = [product for row in rows for product in row["products"]]
    assert len(products) == len(set(products))
    for row in rows:
        assert 0 < row["bare_idle_w"] < row["context_idle_w"] < 300
        assert row["source"]
