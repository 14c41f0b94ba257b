"""Idle power of GPU models from measurements that others published."""

from __future__ import annotations

import functools
import json
from importlib import resources

__all__ = ["tabled_idle_w"]


def tabled_idle_w(name: str) -> tuple[float, str] | None:
    """Watts that a GPU model draws with a CUDA context and no work, and who measured it.

    A serving process has a context, which raises the clocks: bare idle would be too low.

    Args:
        name: the product's name as NVML gives it, with or without the vendor.

    Returns:
        Watts and their source, from ``data/gpu_idle.json``; None: nobody's figure is in it.
    """
    return _table().get(name.removeprefix("NVIDIA ").strip())


@functools.cache
def _table() -> dict[str, tuple[float, str]]:
    text = resources.files("inferprint").joinpath("data/gpu_idle.json").read_text("utf-8")
    return {
        product: (row["context_idle_w"], row["source"])
        for row in json.loads(text)
        for product in row["products"]
    }
