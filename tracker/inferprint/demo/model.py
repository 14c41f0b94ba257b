"""A decoder-only transformer with random weights: real work, no meaning.

The shape is that of today's open models: root-mean-square norms before each block (Zhang and
Sennrich, NeurIPS 2019), rotary positions (Su et al., arXiv 2104.09864), causal attention over
a key-value cache, a gated feed-forward block (Shazeer, arXiv 2002.05202) and tied embeddings.
Its tokens are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from inferprint.demo.arrays import Arrays

__all__ = ["Model", "Shape"]

EPSILON = 1e-6
ROTARY_BASE = 10_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the model is. By default 11 million parameters: a step is some milliseconds."""

    layers: int = 6
    width: int = 384
    heads: int = 6
    hidden: int = 1024
    vocabulary: int = 256
    context: int = 256

    @property
    def parameters(self) -> int:
        """How many weights that is."""
        block = 4 * self.width**2 + 3 * self.width * self.hidden
        return self.layers * block + self.vocabulary * self.width


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_in: Any
    attention_out: Any
    feed_in: Any
    feed_out: Any
    keys: Any
    values: Any


class Model:
    """The weights, and a cache of keys and values for ``slots`` sequences.

    Args:
        arrays: where it computes.
        shape: how large it is.
        slots: how many sequences it can hold at once.

    """

    def __init__(self, arrays: Arrays, shape: Shape, slots: int) -> None:
        self.shape = shape
        self.slots = slots
        self._arrays = arrays
        self._xp = arrays.xp
        self._embedding = arrays.normal((shape.vocabulary, shape.width), shape.width**-0.5)
        self._layers = [self._layer() for _ in range(shape.layers)]

    def _layer(self) -> _Layer:
        shape, normal, zeros = self.shape, self._arrays.normal, self._arrays.zeros
        cache = (self.slots, shape.heads, shape.context, shape.width // shape.heads)
        return _Layer(
            attention_in=normal((shape.width, 3 * shape.width), shape.width**-0.5),
            attention_out=normal((shape.width, shape.width), shape.width**-0.5),
            feed_in=normal((shape.width, 2 * shape.hidden), shape.width**-0.5),
            feed_out=normal((shape.hidden, shape.width), shape.hidden**-0.5),
            keys=zeros(cache),
            values=zeros(cache),
        )

    def forward(self, tokens: Any, slots: Any, starts: Any) -> Any:
        """The logits that follow the last token of each sequence.

        Args:
            tokens: new tokens, sequences × tokens: a whole prompt of one sequence, or one
                token of each sequence of a batch.
            slots: the slot of each sequence.
            starts: how many tokens of each sequence are in the cache already.

        Returns:
            A numpy array, sequences × vocabulary.

        """
        positions = starts[:, None] + numpy.arange(tokens.shape[1])
        length = int(positions.max()) + 1
        future = numpy.arange(length) > positions[:, None, :, None]
        mask = self._arrays.put(numpy.where(future, numpy.float32("-inf"), numpy.float32(0)))
        rotation = self._rotation(positions)
        places = self._arrays.put(slots), self._arrays.put(positions)
        x = self._embedding[self._arrays.put(tokens)]
        for layer in self._layers:
            x = x + self._attend(layer, _normalised(self._xp, x), places, rotation, mask)
            x = x + self._feed(layer, _normalised(self._xp, x))
        return self._arrays.get(_normalised(self._xp, x[:, -1]) @ self._embedding.T)

    def _rotation(self, positions: Any) -> tuple[Any, Any]:
        half = self.shape.width // self.shape.heads // 2
        frequencies = ROTARY_BASE ** (-numpy.arange(half) / half)
        angles = (positions[:, :, None, None] * frequencies).astype(numpy.float32)
        return self._arrays.put(numpy.cos(angles)), self._arrays.put(numpy.sin(angles))

    def _attend(
        self, layer: _Layer, x: Any, places: tuple[Any, Any], rotation: tuple[Any, Any], mask: Any
    ) -> Any:
        xp, (slots, positions), length = self._xp, places, mask.shape[-1]
        sequences, tokens, width = x.shape
        heads = self.shape.heads
        qkv = (x @ layer.attention_in).reshape(sequences, tokens, 3, heads, width // heads)
        layer.keys[slots[:, None], :, positions] = self._rotated(qkv[:, :, 1], rotation)
        layer.values[slots[:, None], :, positions] = qkv[:, :, 2]
        keys, values = layer.keys[slots, :, :length], layer.values[slots, :, :length]
        queries = xp.swapaxes(self._rotated(qkv[:, :, 0], rotation), 1, 2)
        scores = queries @ xp.swapaxes(keys, 2, 3) * (width // heads) ** -0.5 + mask
        weights = xp.exp(scores - xp.amax(scores, axis=-1, keepdims=True))
        mixed = weights @ values / weights.sum(axis=-1, keepdims=True)
        return xp.swapaxes(mixed, 1, 2).reshape(sequences, tokens, width) @ layer.attention_out

    def _rotated(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        cosine, sine = rotation
        half = x.shape[-1] // 2
        left, right = x[..., :half], x[..., half:]
        turned = (left * cosine - right * sine, left * sine + right * cosine)
        return self._xp.concatenate(turned, axis=-1)

    def _feed(self, layer: _Layer, x: Any) -> Any:
        gate_and_value = x @ layer.feed_in
        hidden = self.shape.hidden
        gate, value = gate_and_value[..., :hidden], gate_and_value[..., hidden:]
        return (gate / (1 + self._xp.exp(-gate)) * value) @ layer.feed_out


def _normalised(xp: Any, x: Any) -> Any:
    return x / xp.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON)
