"""Models that are asked for many items at once: scikit-learn's and sentence-transformers' kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferprint import Tokens
from inferprint.integrations.predict import per_item, track_predict
from rig import Rig, by_hand
from support import require_module


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0) as rig:
        yield rig


class Encoder:
    """As sentence-transformers' encode: a second of work a call."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def encode(self, sentences: Any, fail: bool = False) -> Any:
        self._rig.clock.advance(1.0)
        if fail:
            raise LookupError("gone")
        return np.zeros((1 if isinstance(sentences, str) else len(sentences), 4))

    async def aencode(self, sentences: Any) -> Any:
        await asyncio.sleep(0)
        return self.encode(sentences)


def test_a_call_says_what_an_item_took(rig: Rig) -> None:
    """100 W for a second over four items: 25 J each; the result is what it is."""
    encoder = track_predict(Encoder(rig), method="encode", tracker=rig.tracker, labels={"a": "b"})
    assert encoder.encode(["a", "b", "c", "d"]).shape == (4, 4)
    receipt = rig.one_receipt()
    assert receipt.labels == {"a": "b", "items": "4"}
    assert (receipt.model, receipt.tokens, receipt.outcome) == ("Encoder", Tokens(), "ok")
    found = per_item(receipt)
    assert found is not None
    assert found.mid == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("given", "count"),
    [(["a", "b"], 2), ("one text", 1), (np.zeros((7, 3)), 7), ([], 0), (3, 1)],
    ids=["list", "text", "array", "empty", "number"],
)
def test_items_are_counted(rig: Rig, given: Any, count: int) -> None:
    """A text is one item, and no list of its letters; of no item there is no figure."""
    encoder = Encoder(rig)
    encoder.encode = lambda sentences: None  # type: ignore[method-assign]
    track_predict(encoder, method="encode", name="m", tracker=rig.tracker).encode(sentences=given)
    receipt = rig.one_receipt()
    assert receipt.labels == {"items": str(count)}
    assert (per_item(receipt) is None) == (count == 0)


def test_items_are_counted_by_the_arguments_name(rig: Rig) -> None:
    """Wherever it stands among those that are given by name."""
    encoder = track_predict(Encoder(rig), method="encode", tracker=rig.tracker)
    encoder.encode(fail=False, sentences=["a", "b", "c"])
    assert rig.one_receipt().labels == {"items": "3"}


def test_what_counts_may_fail(rig: Rig) -> None:
    """The call goes on, and its receipt has no figure for an item."""
    encoder = track_predict(
        Encoder(rig), method="encode", items=lambda _: 1 // 0, tracker=rig.tracker
    )
    encoder.encode(["a"])
    assert per_item(rig.one_receipt()) is None
    assert ("integration predict", "ZeroDivisionError") in rig.tracker.status().source_errors


def test_a_failure_passes_through(rig: Rig) -> None:
    """The user's exception, and a receipt of an error."""
    encoder = track_predict(Encoder(rig), method="encode", tracker=rig.tracker)
    with pytest.raises(LookupError, match="gone"):
        encoder.encode(["a"], fail=True)
    assert rig.one_receipt().outcome == "error"


async def test_async_methods_are_awaited(rig: Rig) -> None:
    """And cancelled ones are so on their receipts."""
    encoder = track_predict(Encoder(rig), method="aencode", tracker=rig.tracker)
    assert (await encoder.aencode(["a", "b"])).shape == (2, 4)
    task = asyncio.create_task(encoder.aencode(["a"]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.outcome for one in rig.receipts()] == ["ok", "cancelled"]


def test_what_has_no_such_method_is_refused(rig: Rig) -> None:
    """The error says which method it was to have."""
    with pytest.raises(TypeError, match="expected a model with a method predict"):
        track_predict(Encoder(rig), tracker=rig.tracker)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scikit_learn(rig: Rig) -> None:
    """A real classifier predicts what it predicts, with a receipt of its items."""
    linear = require_module("sklearn.linear_model", "pip install scikit-learn")
    data = np.arange(40.0).reshape(20, 2)
    model = linear.LogisticRegression().fit(data, np.arange(20) % 2)
    expected = model.predict(data)
    tracked = track_predict(model, tracker=rig.tracker)
    assert (tracked.predict(data) == expected).all()
    receipt = rig.one_receipt()
    assert (receipt.model, receipt.labels) == ("LogisticRegression", {"items": "20"})


@pytest.fixture
def sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real SentenceTransformer: a BERT of random weights and the mean of its words."""
    tqdm = require_module("tqdm", "pip install tqdm")
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)  # else it leaves a thread behind
    package = require_module("sentence_transformers", "pip install sentence-transformers")
    transformers = require_module("transformers", "pip install transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    modules = package.sentence_transformer.modules
    parts = [modules.Transformer(str(tmp_path)), modules.Pooling(16)]
    return package.SentenceTransformer(modules=parts, device="cpu")


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_sentence_transformers(rig: Rig, sentences: Any) -> None:
    """A real model encodes what it encodes, with a receipt of its items: of texts, of one text, of
    none; by a name of the argument, old or new; by the methods that lead to ``encode``.
    """
    texts = ["a b", "c", "b a c"]
    expected = sentences.encode(texts)
    tracked = track_predict(sentences, method="encode", tracker=rig.tracker)
    assert tracked is sentences
    assert np.allclose(tracked.encode(texts, batch_size=2), expected, atol=1e-5)
    assert tracked.encode("a b").shape == (16,)
    assert tracked.encode([]).shape[0] == 0
    found = tracked.encode(normalize_embeddings=False, inputs=texts)
    assert np.allclose(found, expected, atol=1e-5)
    assert tracked.encode(sentences=texts, show_progress_bar=False).shape == (3, 16)
    assert tracked.encode_query(texts, convert_to_tensor=True).shape == (3, 16)
    assert tracked.encode_document("c").shape == (16,)
    with pytest.raises(Exception):  # noqa: B017 - the package's own, whichever it is
        tracked.encode([object()])
    receipts = rig.receipts()
    assert {one.model for one in receipts} == {"SentenceTransformer"}
    assert [one.labels["items"] for one in receipts] == ["3", "1", "0", "3", "3", "3", "1", "1"]
    assert [one.outcome for one in receipts] == ["ok"] * 7 + ["error"]
