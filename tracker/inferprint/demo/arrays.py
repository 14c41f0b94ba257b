"""numpy on the CPU or torch on a GPU, behind the few operations in which they differ."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy

__all__ = ["Arrays", "NumpyArrays", "TorchArrays", "best_arrays"]

SEED = 20


class Arrays(Protocol):
    """Where the model's arrays live. ``xp`` is the module that computes on them."""

    xp: Any
    where: str

    def normal(self, shape: tuple[int, ...], scale: float) -> Any:
        """Normally distributed numbers with a standard deviation of ``scale``."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Zeros."""
        ...

    def put(self, array: Any) -> Any:
        """A numpy array, where the model computes."""
        ...

    def get(self, array: Any) -> Any:
        """An array of the model, as a numpy array."""
        ...


class NumpyArrays:
    """Arrays in main memory."""

    xp: Any = numpy
    where = "numpy on the CPU"

    def __init__(self) -> None:
        self._random = numpy.random.default_rng(SEED)

    def normal(self, shape: tuple[int, ...], scale: float) -> Any:
        """Normally distributed numbers with a standard deviation of ``scale``."""
        return self._random.standard_normal(shape, numpy.float32) * numpy.float32(scale)

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Zeros."""
        return numpy.zeros(shape, numpy.float32)

    def put(self, array: Any) -> Any:
        """The array itself."""
        return array

    def get(self, array: Any) -> Any:
        """The array itself."""
        return array


class TorchArrays:
    """Arrays on a device of torch, such as ``cuda``."""

    def __init__(self, device: str) -> None:
        self.xp: Any = importlib.import_module("torch")
        self.xp.manual_seed(SEED)
        self._device = device
        name = self.xp.cuda.get_device_name(0) if device == "cuda" else device
        self.where = f"torch on {name}"

    def normal(self, shape: tuple[int, ...], scale: float) -> Any:
        """Normally distributed numbers with a standard deviation of ``scale``."""
        return self.xp.randn(shape, device=self._device) * scale

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Zeros."""
        return self.xp.zeros(shape, device=self._device)

    def put(self, array: Any) -> Any:
        """A copy on the device."""
        return self.xp.as_tensor(array, device=self._device)

    def get(self, array: Any) -> Any:
        """A copy in main memory."""
        return array.cpu().numpy()


def best_arrays() -> Arrays:
    """Torch on a GPU where both are there, else numpy."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return NumpyArrays()
    return TorchArrays("cuda") if torch.cuda.is_available() else NumpyArrays()
