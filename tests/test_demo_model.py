"""The demo's model and engine do the work that a model server does."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferprint.demo.arrays import NumpyArrays, best_arrays
from inferprint.demo.engine import Engine
from inferprint.demo.model import Model, Shape
from support import require_module

SMALL = Shape(layers=2, width=32, heads=4, hidden=48, context=64)
prompts = st.binary(min_size=2, max_size=40)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(NumpyArrays(), SMALL, slots=3)


def tokens(text: bytes) -> Any:
    return numpy.frombuffer(text, numpy.uint8).astype(numpy.int64)[None, :]


def at(*numbers: int) -> Any:
    return numpy.array(numbers)


@given(prompts, st.data())
def test_the_cache_changes_nothing(model: Model, prompt: bytes, data: st.DataObject) -> None:
    """A prompt read in two parts, the first from the cache, gives the logits of the whole."""
    cut = data.draw(st.integers(1, len(prompt) - 1))
    whole = model.forward(tokens(prompt), at(0), at(0))
    model.forward(tokens(prompt[:cut]), at(1), at(0))
    rest = model.forward(tokens(prompt[cut:]), at(1), at(cut))
    numpy.testing.assert_allclose(rest, whole, rtol=1e-3, atol=1e-4)


@given(prompts, prompts)
def test_a_batch_changes_nothing(model: Model, one: bytes, other: bytes) -> None:
    """Sequences of different lengths that are decoded together do not see each other."""
    model.forward(tokens(one[:-1]), at(0), at(0))
    model.forward(tokens(other[:-1]), at(2), at(0))
    last = numpy.array([[one[-1]], [other[-1]]])
    together = model.forward(last, at(0, 2), at(len(one) - 1, len(other) - 1))
    alone = model.forward(tokens(one), at(1), at(0))
    numpy.testing.assert_allclose(together[:1], alone, rtol=1e-3, atol=1e-4)


@given(prompts)
def test_later_tokens_depend_on_earlier_ones(model: Model, prompt: bytes) -> None:
    """Attention reaches back to the first token: another one there gives other logits."""
    changed = bytes([prompt[0] ^ 1]) + prompt[1:]
    here = model.forward(tokens(prompt), at(0), at(0))
    there = model.forward(tokens(changed), at(0), at(0))
    assert not numpy.allclose(here, there, rtol=1e-6)


def test_the_parameters_are_counted() -> None:
    """The size that the demo prints is that of the arrays that it made."""
    made: list[int] = []

    class Counting(NumpyArrays):
        def normal(self, shape: tuple[int, ...], scale: float) -> Any:
            made.append(int(numpy.prod(shape)))
            return super().normal(shape, scale)

    Model(Counting(), SMALL, slots=1)
    assert sum(made) == SMALL.parameters


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(prompts, st.integers(1, 12)), min_size=1, max_size=8))
def test_each_client_gets_its_own_tokens(model: Model, jobs: list[tuple[bytes, int]]) -> None:
    """More clients than slots all get as many tokens as they asked for, each a byte."""

    async def ask(engine: Engine, prompt: bytes, length: int) -> list[int]:
        return [token async for token in engine.stream(prompt, length)]

    async def main() -> list[list[int]]:
        with Engine(model) as engine:
            return await asyncio.gather(*(ask(engine, *job) for job in jobs))

    answers = asyncio.run(main())
    assert [len(answer) for answer in answers] == [length for _, length in jobs]
    assert all(0 <= token < SMALL.vocabulary for answer in answers for token in answer)


async def test_a_client_that_leaves_frees_its_slot(model: Model) -> None:
    """After every slot was taken by clients that left early, others are still served."""
    with Engine(model) as engine:
        for _ in range(2 * model.slots):
            stream = engine.stream(b"prompt", 40)
            await anext(stream)
            await stream.aclose()
        assert len([token async for token in engine.stream(b"prompt", 5)]) == 5


async def test_a_fault_of_the_model_reaches_the_clients() -> None:
    """A client is told what went wrong in the engine's thread; it does not wait for ever."""

    class Broken(Model):
        def forward(self, tokens: Any, slots: Any, starts: Any) -> Any:
            raise FloatingPointError("broken")

    model = Broken(NumpyArrays(), SMALL, slots=1)
    with Engine(model) as engine, pytest.raises(FloatingPointError, match="broken"):
        await anext(engine.stream(b"prompt", 5))


@pytest.mark.real
def test_torch_and_numpy_agree() -> None:
    """The same weights give the same logits on either, whichever one the demo chooses."""
    torch = require_module("torch", "scripts/venv large")
    from inferprint.demo.arrays import TorchArrays

    class SameWeights(TorchArrays):
        _numpy = NumpyArrays()

        def normal(self, shape: tuple[int, ...], scale: float) -> Any:
            return self.put(self._numpy.normal(shape, scale))

    prompt = tokens(b"the same prompt")
    expected = Model(NumpyArrays(), SMALL, 2).forward(prompt, at(1), at(0))
    got = Model(SameWeights("cpu"), SMALL, 2).forward(prompt, at(1), at(0))
    numpy.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    assert best_arrays().where.startswith("torch" if torch.cuda.is_available() else "numpy")
