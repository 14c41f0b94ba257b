"""The openai client, tracked: the real package against a real server on loopback."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from chat_server import FOOTPRINT, WORDS, ChatServer, chat_server
from inferprint import NotSettled, Tokens, Tracker, flags
from inferprint.integrations.openai import receipt_of, track_client
from rig import Kept, live
from support import require_module, run_python

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
TOLD = Tokens(12, 8, 3)
TEXT = "".join(WORDS)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracker(kept: Kept) -> Iterator[Tracker]:
    with live(exporters=[kept]) as tracker:
        yield tracker


@pytest.fixture
def client(server: ChatServer, tracker: Tracker) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield track_client(client, tracker=tracker, labels={"app": "chat"})


def settled(tracker: Tracker, kept: Kept) -> Any:
    """The only receipt that there was."""
    assert tracker.flush(5.0)
    (receipt,) = kept.receipts
    return receipt


def test_a_reply_has_a_receipt(client: Any) -> None:
    """Its model, its tokens with the cached ones, and energy; the reply is openai's own."""
    reply = client.chat.completions.create(model="m", **ASK)
    assert reply.choices[0].message.content == TEXT
    receipt = receipt_of(reply)
    assert receipt is not None
    assert (receipt.model, receipt.tokens, receipt.outcome) == ("m", TOLD, "ok")
    assert receipt.labels == {"app": "chat"}
    assert float(receipt.energy.total_j) > 0
    assert receipt_of(object()) is None


def test_every_endpoint_that_runs_a_model_is_tracked(
    client: Any, tracker: Tracker, kept: Kept
) -> None:
    """Chats, responses and embeddings are; a list of models is none of ours."""
    client.chat.completions.create(model="chat", **ASK)
    client.responses.create(model="response", input="Hello")
    client.embeddings.create(model="embedding", input="Hello")
    client.models.list()
    assert tracker.flush(5.0)
    assert [(one.model, one.tokens) for one in kept.receipts] == [
        ("chat", TOLD),
        ("response", TOLD),
        ("embedding", Tokens(12)),
    ]


def test_what_is_sent_is_what_would_be_sent(client: Any, server: ChatServer) -> None:
    """Nothing is added to a call's body."""
    with openai.OpenAI(base_url=server.url, api_key="none") as bare:
        list(bare.chat.completions.create(model="m", stream=True, **ASK))
    list(client.chat.completions.create(model="m", stream=True, **ASK))
    assert server.bodies[0] == server.bodies[1]


def test_a_stream_ends_with_its_last_chunk(client: Any) -> None:
    """It is openai's Stream; usage in its last chunk is told, the first word's time is taken."""
    stream = client.chat.completions.create(model="m", **USAGE, **ASK)
    assert isinstance(stream, openai.Stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == TEXT
    receipt = receipt_of(stream)
    assert receipt is not None
    assert (receipt.tokens, receipt.outcome) == (TOLD, "ok")
    assert receipt.time_to_first_token_s is not None
    assert 0 < receipt.time_to_first_token_s <= receipt.duration_s


def test_a_stream_without_usage_has_no_tokens(client: Any) -> None:
    """What is not told is unknown, and not 0."""
    stream = client.chat.completions.create(model="m", stream=True, **ASK)
    assert len(list(stream)) == len(WORDS) + 1
    receipt = receipt_of(stream)
    assert receipt is not None
    assert receipt.tokens == Tokens()


def test_the_stream_of_a_response(client: Any) -> None:
    """Usage comes inside its last event, and its first event is no output."""
    events = list(stream := client.responses.create(model="m", input="Hello", stream=True))
    assert events[-1].type == "response.completed"
    receipt = receipt_of(stream)
    assert receipt is not None
    assert receipt.tokens == TOLD
    assert receipt.time_to_first_token_s is not None


def test_the_helper_that_gathers_a_stream(client: Any, tracker: Tracker, kept: Kept) -> None:
    """``chat.completions.stream`` gives what it gathers, and one receipt."""
    with client.chat.completions.stream(
        model="m", stream_options={"include_usage": True}, **ASK
    ) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == TEXT
    receipt = settled(tracker, kept)
    assert (receipt.tokens, receipt.outcome) == (TOLD, "ok")


@pytest.mark.parametrize("way", ["close", "with", "drop", "helper"])
def test_a_stream_that_is_left_is_cancelled(
    client: Any, tracker: Tracker, kept: Kept, way: str
) -> None:
    """By closing it, by leaving its ``with``, by forgetting it; after its first chunk."""
    ask: dict[str, Any] = {"model": "m", **ASK}
    if way == "helper":
        with client.chat.completions.stream(**ask) as helper:
            next(iter(helper))
    else:
        stream = client.chat.completions.create(stream=True, **ask)
        next(stream)
        if way == "close":
            stream.close()
        elif way == "with":
            with stream:
                pass
        stream = None
        gc.collect()
    assert settled(tracker, kept).outcome == "cancelled"


def test_a_stream_that_breaks_is_an_error(client: Any, tracker: Tracker, kept: Kept) -> None:
    """The client's own error comes through, after the chunks that came before it."""
    stream = client.chat.completions.create(model="breaks", stream=True, **ASK)
    with pytest.raises(openai.APIError, match="out of memory"):
        list(stream)
    assert settled(tracker, kept).outcome == "error"


def test_a_refused_call_is_an_error(client: Any, tracker: Tracker, kept: Kept) -> None:
    """The error is the one that the client raises without us."""
    with pytest.raises(openai.BadRequestError, match="no such thing"):
        client.chat.completions.create(model="fails", **ASK)
    assert settled(tracker, kept).outcome == "error"


def test_an_answer_that_is_none_passes_through(client: Any, server: ChatServer) -> None:
    """A page of HTML comes as the bare client gives it."""
    with openai.OpenAI(base_url=server.url, api_key="none") as bare:
        expected = bare.chat.completions.create(model="html", **ASK)
    assert client.chat.completions.create(model="html", **ASK) == expected


def test_raw_replies(client: Any, tracker: Tracker, kept: Kept) -> None:
    """Replies that the user parses are told by their body; ones that are streamed, by their end."""
    raw = client.chat.completions.with_raw_response.create(model="m", **ASK)
    assert raw.parse().choices[0].message.content == TEXT
    with client.chat.completions.with_streaming_response.create(model="s", **ASK) as streamed:
        assert TEXT.encode() in streamed.read()
    with client.chat.completions.with_streaming_response.create(model="left", **ASK):
        pass
    assert tracker.flush(5.0)
    found = {one.model: (one.tokens, one.outcome) for one in kept.receipts}
    assert found == {"m": (TOLD, "ok"), "s": (Tokens(), "ok"), "left": (Tokens(), "cancelled")}


def test_clients_made_of_it_are_tracked_once(client: Any, tracker: Tracker, kept: Kept) -> None:
    """``with_options`` and ``copy`` make tracked clients; no call has two receipts."""
    client.with_options(timeout=5).copy().chat.completions.create(model="m", **ASK)
    assert settled(tracker, kept).model == "m"


async def test_async_calls_and_streams(server: ChatServer, tracker: Tracker, kept: Kept) -> None:
    """As those that are not: whole, streamed, left early, and cancelled by asyncio."""
    async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        chats = track_client(client, tracker=tracker).chat.completions
        await chats.create(model="whole", **ASK)
        words = [
            chunk.choices[0].delta.content
            async for chunk in await chats.create(model="stream", **USAGE, **ASK)
            if chunk.choices and chunk.choices[0].delta.content
        ]
        async with await chats.create(model="left", stream=True, **ASK) as left:
            await anext(aiter(left))
        task = asyncio.create_task(chats.create(model="slow", **ASK))
        while len(server.bodies) < 4:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(openai.BadRequestError):
            await chats.create(model="fails", **ASK)
    assert tuple(words) == WORDS
    assert await asyncio.to_thread(tracker.flush, 5.0)
    found = {one.model: (one.tokens, one.outcome) for one in kept.receipts}
    assert found == {
        "whole": (TOLD, "ok"),
        "stream": (TOLD, "ok"),
        "left": (Tokens(), "cancelled"),
        "slow": (Tokens(), "cancelled"),
        "fails": (Tokens(), "error"),
    }


async def test_a_stream_that_is_cancelled_while_it_waits(
    server: ChatServer, tracker: Tracker, kept: Kept
) -> None:
    """The cancellation comes through, and the receipt says so."""
    async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        chats = track_client(client, tracker=tracker).chat.completions
        stream = await chats.create(model="slow", stream=True, **ASK)
        await anext(aiter(stream))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(stream)), 0.1)
        await stream.close()
    assert await asyncio.to_thread(tracker.flush, 5.0)
    assert kept.receipts[0].outcome == "cancelled"


def test_a_stream_that_goes_on_is_not_settled(client: Any) -> None:
    """To ask for its receipt says so; it has one when it is closed."""
    stream = client.chat.completions.create(model="m", stream=True, **ASK)
    with stream, pytest.raises(NotSettled):
        receipt_of(stream, timeout=0.01)
    receipt = receipt_of(stream)
    assert receipt is not None
    assert receipt.outcome == "cancelled"


def test_a_provider_is_estimated(server: ChatServer, tracker: Tracker, kept: Kept) -> None:
    """Elsewhere there is no meter: EcoLogits' receipt, unless the reply has the server's own."""
    require_module("ecologits", "pip install 'inferprint[ecologits]'")
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        chats = track_client(client, tracker=tracker, provider="openai").chat.completions
        receipt = receipt_of(chats.create(model="gpt-4o", **ASK))
        own = [receipt_of(chats.create(model="footprint", **ASK))]
        list(stream := chats.create(model="footprint", **USAGE, **ASK))
        own.append(receipt_of(stream))
        with pytest.raises(openai.BadRequestError):
            chats.create(model="fails", **ASK)
    for told in own:
        assert told is not None
        assert told.energy.total_j is not None
        assert (told.energy.total_j.mid, told.provenance) == (4.5, "measured")
    assert FOOTPRINT["energy_joules"] == 4.5
    assert receipt is not None
    assert flags.HOSTED in receipt.flags
    assert receipt.tokens == Tokens(12, None, 3)
    assert settled(tracker, kept) == receipt


class Broken:
    """A tracker that fails at whatever it is asked for."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, BaseException]] = []

    def request(self, *_: Any, **__: Any) -> Any:
        raise ValueError("broken")

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append((where, error))


def test_a_broken_tracker_fails_no_call(server: ChatServer) -> None:
    """The call goes through, streamed or not; the fault is counted."""
    broken: Any = Broken()
    with openai.OpenAI(base_url=server.url, api_key="none") as client:
        chats = track_client(client, tracker=broken).chat.completions
        assert chats.create(model="m", **ASK).choices[0].message.content == TEXT
        assert len(list(chats.create(model="m", stream=True, **ASK))) == len(WORDS) + 1
    assert [where for where, _ in broken.faults] == ["integration openai"] * 2


def test_replies_are_not_held(client: Any) -> None:
    """What is remembered of a reply goes with it."""
    from inferprint.integrations import openai as module

    gc.collect()
    before = len(module._visits)
    for _ in range(5):
        client.chat.completions.create(model="m", **ASK)
    gc.collect()
    assert len(module._visits) <= before


def test_what_is_no_client_is_refused(tracker: Tracker) -> None:
    """The error says what it was given, and what would be right."""
    with pytest.raises(TypeError, match=r"expected an openai\.OpenAI"):
        track_client("https://example.org", tracker=tracker)


def test_without_the_package_the_error_says_what_to_install() -> None:
    """MissingExtra, with pip's command; importing the module alone needs no package."""
    blocked = (
        "import sys; sys.modules['openai'] = None\n"
        "from inferprint.integrations.openai import track_client\n"
        "try: track_client(object())\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    result = run_python("-c", blocked)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("MissingExtra ")
    assert "pip install 'inferprint[openai]'" in result.stdout
