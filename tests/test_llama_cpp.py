"""llama-cpp-python in process: an object of its shape, and the real package on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferprint import Tokens
from inferprint.integrations.llama_cpp import track_llama
from inferprint.integrations.predict import track_predict
from rig import Rig, by_hand
from support import require_module


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0) as rig:
        yield rig


class Shape:
    """As ``llama_cpp.Llama``: a prompt is evaluated but for the prefix that it has already, then
    one token a step; a chat is a completion.
    """

    model_path = "/models/tiny.q4.gguf"

    def __init__(self, rig: Rig) -> None:
        self._rig, self._seen = rig, list[int]()
        self.n_tokens = 0

    def eval(self, tokens: list[int]) -> None:
        self._rig.clock.advance(1.0)
        self.n_tokens += len(tokens)
        self._seen += tokens

    def _chunks(self, prompt: list[int], count: int) -> Iterator[dict[str, Any]]:
        if not prompt:
            raise ValueError("empty")
        same = 0
        while same < min(len(prompt) - 1, len(self._seen)) and prompt[same] == self._seen[same]:
            same += 1
        self.n_tokens, self._seen = same, self._seen[:same]
        tokens = prompt[same:]
        for number in range(count):
            self.eval(tokens)
            tokens = [100 + number]
            yield {"choices": [{"text": "x"}]}

    def create_completion(self, prompt: list[int], count: int = 3, stream: bool = False) -> Any:
        chunks = self._chunks(prompt, count)
        if stream:
            return chunks
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": count}
        return {"choices": [{"text": text}], "usage": usage}

    def create_chat_completion(self, prompt: list[int], stream: bool = False) -> Any:
        return self.create_completion(prompt, stream=stream)


def test_a_completion_has_its_tokens_and_what_was_cached(rig: Rig) -> None:
    """One receipt a call, chats among them; the second prompt begins as the first did."""
    llm = track_llama(Shape(rig), tracker=rig.tracker, labels={"a": "b"})
    assert llm.create_completion([1, 2, 3, 4])["choices"][0]["text"] == "xxx"
    llm.create_chat_completion([1, 2, 3, 9])
    first, second = rig.receipts()
    assert (first.model, first.labels, first.outcome) == ("tiny.q4", {"a": "b"}, "ok")
    assert first.tokens == Tokens(4, 0, 3)
    assert second.tokens == Tokens(4, 3, 3)
    assert first.energy.total_j is not None
    assert first.energy.total_j.mid == pytest.approx(300.0)


def test_a_stream_is_told_as_it_comes(rig: Rig) -> None:
    """It begins with its first chunk, whose time is taken, and its tokens are those computed."""
    llm = track_llama(Shape(rig), name="m", tracker=rig.tracker)
    stream = llm.create_chat_completion([1, 2], stream=True)
    rig.clock.advance(5.0)
    assert len(list(stream)) == 3
    receipt = rig.one_receipt()
    assert (receipt.model, receipt.tokens, receipt.outcome) == ("m", Tokens(2, 0, 3), "ok")
    assert (receipt.duration_s, receipt.time_to_first_token_s) == (3.0, 1.0)


def test_a_stream_that_is_left_is_cancelled(rig: Rig) -> None:
    """With what was computed by then; one that was never asked for a chunk is no request."""
    llm = track_llama(Shape(rig), tracker=rig.tracker)
    llm.create_completion([1], stream=True)
    stream = llm.create_completion([1, 2], stream=True)
    next(stream)
    stream.close()
    receipt = rig.one_receipt()
    assert (receipt.outcome, receipt.tokens.output) == ("cancelled", 1)


def test_a_failure_passes_through(rig: Rig) -> None:
    """The user's exception, and receipts of errors; what is evaluated outside is none of ours."""
    llm = track_llama(Shape(rig), tracker=rig.tracker)
    with pytest.raises(ValueError, match="empty"):
        llm.create_completion([])
    with pytest.raises(ValueError, match="empty"):
        next(llm.create_completion([], stream=True))
    llm.eval([1, 2])
    assert [one.outcome for one in rig.receipts()] == ["error", "error"]


def test_what_is_no_model_is_refused(rig: Rig) -> None:
    """The error says what would be one."""
    with pytest.raises(TypeError, match=r"expected a llama_cpp\.Llama"):
        track_llama(object(), tracker=rig.tracker)


INSTALL = "pip install llama-cpp-python gguf (it compiles llama.cpp)"
WIDE, HEADS, WIDER = 32, 2, 64


def write_model(path: Path) -> None:
    """A Llama of one layer and random weights, whose tokens are bytes."""
    np = require_module("numpy", "pip install numpy")
    writer = require_module("gguf", INSTALL).GGUFWriter(str(path), "llama")
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    writer.add_context_length(256)
    writer.add_embedding_length(WIDE)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDE // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([2, 3, 3] + [6] * 256)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    random = np.random.default_rng(0)
    shapes = {"token_embd": (len(words), WIDE), "output": (len(words), WIDE)}
    shapes |= {f"blk.0.attn_{part}": (WIDE, WIDE) for part in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{part}": (WIDER, WIDE) for part in ("gate", "up")}
    shapes |= {"blk.0.ffn_down": (WIDE, WIDER)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.1, shape).astype("float32"))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDE, "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def llama_cpp() -> Any:
    """Imported before the test begins, as it holds two files open from then on."""
    return require_module("llama_cpp", INSTALL)


@pytest.mark.huge
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_real_package(llama_cpp: Any, rig: Rig, tmp_path: Path) -> None:
    """Plain, chats and streams of a real model: tokens as its usage has them, what is cached of a
    prompt that came before, and embeddings by ``track_predict``.
    """
    path = tmp_path / "tiny.gguf"
    write_model(path)
    options: dict[str, Any] = {"n_ctx": 128, "n_threads": 1, "verbose": False}
    llm = track_llama(llama_cpp.Llama(str(path), **options), tracker=rig.tracker)
    # No end, and no half of a letter, after which it would go on over its limit.
    ascii_alone = {str(token): -100.0 for token in (2, *range(3 + 128, 3 + 256))}
    never_ends = {"logit_bias": ascii_alone}
    chat = [{"role": "user", "content": "a"}]
    told = [
        llm.create_completion("a b", max_tokens=5, **never_ends)["usage"],
        llm.create_completion("a b", max_tokens=4, **never_ends)["usage"],
        llm.create_chat_completion(chat, max_tokens=3, **never_ends)["usage"],
    ]
    list(llm.create_completion("a b", max_tokens=6, stream=True, **never_ends))
    list(llm.create_chat_completion(chat, max_tokens=7, stream=True, **never_ends))
    left = llm.create_completion("a b", max_tokens=50, stream=True, **never_ends)
    next(left)
    left.close()
    with pytest.raises(ValueError, match="context window"):
        llm.create_completion("a" * 500)
    found = [one.tokens for one in rig.receipts()]
    usages = [(one["prompt_tokens"], one["completion_tokens"]) for one in told]
    assert [(one.input, one.output) for one in found[:3]] == usages
    (plain, _), _, (asked, _) = usages
    assert [(one.input, one.output) for one in found[3:5]] == [(plain, 6), (asked, 7)]
    assert found[0].cached_input == 0
    assert found[1].cached_input == plain - 1
    assert [one.outcome for one in rig.receipts()] == ["ok"] * 5 + ["cancelled", "error"]
    assert {one.model for one in rig.receipts()} == {"tiny"}

    embedder = llama_cpp.Llama(str(path), embedding=True, **options)
    track_predict(embedder, method="create_embedding", tracker=rig.tracker)
    assert len(embedder.create_embedding(["a", "b a"])["data"]) == 2
    assert rig.receipts()[-1].labels == {"items": "2"}
    llm.close()
    embedder.close()
