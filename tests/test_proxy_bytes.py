"""Byte for byte: what goes through the proxy's readers comes out as it was, plus the footprint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferprint.proxy.asked import MEMBERS, asked_of, expected_of, with_usage
from inferprint.proxy.coding import Gzip, packed, unpacked
from inferprint.proxy.plain import Plain
from inferprint.proxy.scan import Scan
from inferprint.proxy.sse import Events, payload_of
from inferprint.proxy.stream import Stream

# All ten thousand on demand; fewer in every run of the tests.
EXAMPLES = int(os.environ.get("PROXY_CHUNKINGS", "300"))
FOOTPRINT = {"energy_joules": 1.5, "attribution_method": "equal", "note": "é\n"}
SAID = b',"footprint":' + json.dumps(FOOTPRINT, separators=(",", ":")).encode()
COMMENT = (
    b': energy {"energy_joules":1.5,"attribution_method":"equal","attribution_ratio":null}\n\n'
)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def chunk(choices: Sequence[dict[str, Any]], **more: Any) -> bytes:
    told = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps({**told, "choices": choices, **more}, ensure_ascii=False).encode()


def delta(index: int = 0, **what: Any) -> dict[str, Any]:
    return {"index": index, "delta": what, "logprobs": None, "finish_reason": None}


# The shapes that servers stream: text, several choices, tools, reasoning, logprobs, pictures,
# nulls for a usage to come, errors, and an empty first chunk with a filter's results.
SHAPES: dict[str, list[bytes]] = {
    "text": [chunk([delta(role="a", content="")]), chunk([delta(content="h\u00e9 \U0001f600")])],
    "choices": [chunk([delta(0, content="a")]), chunk([delta(1, content="b")])],
    "tools": [chunk([delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a": "}'}}])])],
    "reasoning": [chunk([delta(reasoning_content="\\ \" usage")]), chunk([delta(reasoning="x")])],
    "logprobs": [chunk([delta(content="x") | {"logprobs": {"content": [{"bytes": [1]}]}}])],
    "images": [chunk([delta(images=[{"image_url": {"url": "data:image/png," + "A" * 400}}])])],
    "nulls": [chunk([delta(content="x")], usage=None), chunk([delta(content="y")], usage=None)],
    "filter": [chunk([], prompt_filter_results=[{"prompt_index": 0}]), chunk([delta(content="z")])],
    "completions": [json.dumps({"object": "text_completion", "choices": [{"text": "x"}]}).encode()],
    "error": [chunk([delta(content="x")]), b'{"error":{"message":"overloaded","code":503}}'],
    "strange": [b"{", b"null", b"[1]", b"", b'{"choices": "?"}', b"\xff\xfe", b'{"usage": {}}'],
}  # fmt: skip
ENDS = (b"\n", b"\r\n", b"\r")


def cuts(data: bytes, at: Sequence[int]) -> Iterator[bytes]:
    """The data, cut at these places."""
    places = sorted({place % (len(data) + 1) for place in at})
    for begin, end in zip([0, *places], [*places, len(data)], strict=True):
        yield data[begin:end]


def through(data: bytes, at: Sequence[int], keeps_usage: bool = False) -> tuple[bytes, Stream]:
    """What comes out of a stream that comes in these pieces."""
    stream = Stream(keeps_usage, lambda: FOOTPRINT)
    out = b"".join(stream.feed(part) for part in cuts(data, at))
    return out + stream.end(), stream


def events(documents: Sequence[bytes], end: bytes, space: bytes = b" ") -> bytes:
    return b"".join(b"data:" + space + one + end * 2 for one in documents)


def last_of(chunks: Sequence[bytes], usage: dict[str, Any]) -> bytes:
    """The chunk that the proxy adds, which takes its names from those before it."""
    first = json.loads(chunks[-1])
    kept = {name: first[name] for name in ("id", "object", "created", "model") if name in first}
    told = kept | {"choices": [], "usage": {**usage, "footprint": FOOTPRINT}}
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(sorted(set(SHAPES) - {"error", "strange"})),
    st.sampled_from(ENDS),
    st.sampled_from([b"", b" "]),
    st.booleans(),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_a_stream_comes_out_as_it_was_plus_the_footprint(
    shape: str, end: bytes, space: bytes, has_usage: bool, at: list[int]
) -> None:
    """Whatever the shape, the line ends and the places where it is cut, half characters among
    them: the events, the chunk of the footprint in place of the usage's, the comment, the end.
    """
    said = events(SHAPES[shape], end, space)
    usage = events([chunk([], usage=USAGE)], end, space) if has_usage else b""
    done = events([b"[DONE]"], end, space)
    out, stream = through(said + usage + done, at)
    last = last_of(SHAPES[shape], USAGE if has_usage else {})
    assert out == said + last + COMMENT + done
    assert stream.ended
    assert stream.pieces or shape == "images"
    assert (stream.tokens is not None) == has_usage


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from(ENDS),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_a_usage_that_was_asked_for_is_kept(shape: str, end: bytes, at: list[int]) -> None:
    """Its chunk comes out in its place, with the footprint as the last member of its usage."""
    said, usage = events(SHAPES[shape], end), chunk([], usage=USAGE)
    told = usage.replace(b'"total_tokens": 13', b'"total_tokens": 13' + SAID)
    out, _ = through(said + events([usage, b"[DONE]"], end), at, keeps_usage=True)
    assert out == said + events([told], end) + COMMENT + events([b"[DONE]"], end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_come_out_as_they_went_in(data: bytes, at: list[int]) -> None:
    """A stream of no events of ours is not changed."""
    assert through(data, at)[0] == data


@pytest.mark.parametrize("shape", ["error", "strange"])
def test_a_stream_that_fails_gets_no_chunk(shape: str) -> None:
    """What it said stays; after an error there is a comment alone."""
    said = events(SHAPES[shape], b"\n")
    out, stream = through(said, [])
    assert out.startswith(said)
    assert b"footprint" not in out
    assert stream.failed == (shape == "error")


def test_a_huge_event_is_not_held_back() -> None:
    """Its bytes go on before its end has come."""
    stream = Stream(False, lambda: FOOTPRINT)
    said = b"data: " + b"x" * 1_000_000
    assert len(stream.feed(said)) > 900_000
    assert stream.feed(b"\n\ndata: [DONE]\n\n").endswith(b"x\n\ndata: [DONE]\n\n")


def test_a_stream_that_breaks_off_loses_nothing() -> None:
    """What had come of an event goes on as it is, and nothing is added."""
    stream = Stream(False, lambda: FOOTPRINT)
    said = events(SHAPES["text"], b"\n") + b'data: {"half'
    assert stream.feed(said) + stream.rest() == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(["model", "usage", 'a"b', "\\", "é"]) | st.text(max_size=5)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.dictionaries(NAMES, JSON, max_size=6),
    st.booleans(),
    st.sampled_from([None, 0, 2]),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_members_are_found_however_a_document_is_cut(
    document: dict[str, Any], ascii_only: bool, indent: int | None, at: list[int]
) -> None:
    """Each member's value, where it is; as Python's own parser reads it."""
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    data = text.encode("utf-8", "surrogatepass")
    scan = Scan(set(document))
    for part in cuts(data, at):
        scan.feed(part)
    assert scan.whole
    assert set(scan.members) == set(document)
    for name, (value, start, end) in scan.members.items():
        assert data[start:end] == value
        assert json.loads(value) == document[name]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()[:-1]))
def test_what_is_no_object_is_never_taken_for_one(data: bytes) -> None:
    """Any bytes are read without an error, and what Python takes for an object is one here."""
    scan = Scan({"usage"})
    scan.feed(data)
    try:
        is_object = isinstance(json.loads(data), dict)
    except ValueError:
        is_object = False
    assert scan.whole or not is_object


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(st.text(max_size=3), JSON, max_size=3)
)
def test_a_plain_reply_stays_but_for_its_usage(
    reply: dict[str, Any], usage: dict[str, Any]
) -> None:
    """Without the footprint it is the same, byte for byte; an empty usage gets it too."""
    data = json.dumps({**reply, "usage": usage}).encode()
    plain = Plain()
    plain.read(data)
    told = plain.with_footprint(data, FOOTPRINT)
    said = SAID if usage else SAID[1:]
    assert json.loads(told)["usage"]["footprint"] == FOOTPRINT
    before, after = told.rsplit(said, 1)
    assert before + after == data


@pytest.mark.parametrize("options", ["", ', "stream_options": null', ',"stream_options":{"a":[1]}'])
def test_only_the_wish_for_usage_is_added_to_a_request(options: str) -> None:
    """All else stays, spaces and all; what was set beside it stays set."""
    body = ('{ "model" : "m", "stream":true, "messages":["}"]' + options + " } \n").encode()
    scan = Scan(MEMBERS)
    scan.feed(body)
    asked = asked_of(scan)
    assert (asked.model, asked.streams, asked.wants_usage) == ("m", True, False)
    told = with_usage(body, scan)
    given_options = json.loads(body).get("stream_options") or {}
    assert json.loads(told)["stream_options"] == {**given_options, "include_usage": True}
    assert told.startswith(b'{ "model" : "m", "stream":true, "messages":["}"]')
    assert told.endswith(b" } \n") or not options


def test_tokens_are_expected_by_the_text_alone() -> None:
    """Four characters are a token; a picture has none, and the limit counts for each answer."""
    content = [
        {"type": "text", "text": "x" * 38},
        {"type": "image_url", "image_url": {"url": "y" * 99}},
    ]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 5, "n": 3}
    expected = expected_of(json.dumps(body).encode())
    assert expected is not None
    assert (expected.input_tokens, expected.max_output_tokens) == (14, 15)  # with roles and types
    assert expected_of(b"[]") is None
    assert expected_of(b"[" * 100_000) is None


def test_events_are_cut_at_each_kind_of_line_end() -> None:
    """And an event of several lines of data is one text."""
    found = [*Events().feed(b"data: a\n\ndata:b\r\n\r\n: c\r\rdata: d\ndata: e\n\ndata")]
    assert [piece.whole for piece in found] == [True] * 4
    payloads = [payload_of(piece.data) for piece in found]
    assert [p and p.data for p in payloads] == [b"a", b"b", None, b"d\ne"]


def test_gzip_goes_both_ways() -> None:
    """What is packed in parts can be unpacked in parts; what is none, or too much, is told."""
    gzip, other = Gzip(), Gzip()
    parts = [gzip.pack(b"a"), gzip.pack(b""), gzip.pack(b"bc"), gzip.finish()]
    assert [other.unpack(part) for part in parts] == [b"a", b"", b"bc", b""]
    assert unpacked(packed(b"x" * 99), 100) == b"x" * 99
    assert unpacked(packed(b"x" * 99), 10) is None
    assert unpacked(b"no", 10) is None
