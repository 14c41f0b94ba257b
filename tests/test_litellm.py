"""LiteLLM, tracked: the real package, calling a real server on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chat_server import WORDS, ChatServer, chat_server
from inferprint import Tokens, Tracker
from inferprint.integrations import litellm as ours
from rig import Kept, by_hand, live
from support import require_module, run_python

pytestmark = [
    pytest.mark.real,
    # The package's own.
    pytest.mark.filterwarnings("ignore"),
]
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "num_retries": 0}
TOLD = Tokens(12, 8, 3)
TEXT = "".join(WORDS)


@pytest.fixture(scope="module")
def litellm() -> Any:
    module = require_module("litellm", "pip install 'inferprint[litellm]'")
    module.telemetry = False
    module.suppress_debug_info = True
    return module


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
def ask(litellm: Any, server: ChatServer, tracker: Tracker) -> Iterator[dict[str, Any]]:
    """Arguments of a call, with our handler among LiteLLM's callbacks."""
    litellm.callbacks = [ours.handler(tracker=tracker, labels={"app": "chat"})]
    yield {**ASK, "api_base": server.url, "api_key": "none"}
    litellm.callbacks = []
    for name in ("success_callback", "_async_success_callback", "failure_callback"):
        setattr(litellm, name, [])
    litellm._async_failure_callback = litellm.input_callback = []
    litellm.in_memory_llm_clients_cache.flush_cache()


def receipts(tracker: Tracker, kept: Kept, count: int = 1) -> list[Any]:
    """LiteLLM tells of an end in a thread of its own, a little later."""
    until_s = time.monotonic() + 10
    while len(kept.receipts) < count and time.monotonic() < until_s:
        tracker.flush(1.0)
        time.sleep(0.02)
    return kept.receipts


def test_a_call_has_a_receipt(litellm: Any, ask: Any, tracker: Tracker, kept: Kept) -> None:
    """Its model, its tokens with the cached ones, and energy."""
    reply = litellm.completion(model="openai/m", **ask)
    assert reply.choices[0].message.content == TEXT
    (receipt,) = receipts(tracker, kept)
    assert (receipt.model, receipt.tokens, receipt.outcome) == ("m", TOLD, "ok")
    assert receipt.labels == {"app": "chat"}
    assert float(receipt.energy.total_j) > 0


def test_a_stream_has_one(litellm: Any, ask: Any, tracker: Tracker, kept: Kept) -> None:
    """From its start to its last chunk, with the tokens that its usage tells."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    words = [
        chunk.choices[0].delta.content
        for chunk in litellm.completion(model="openai/m", **options, **ask)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    assert tuple(words) == WORDS
    (receipt,) = receipts(tracker, kept)
    assert (receipt.tokens.input, receipt.tokens.output) == (12, 3)
    assert receipt.outcome == "ok"


def test_a_failure_has_one(litellm: Any, ask: Any, tracker: Tracker, kept: Kept) -> None:
    """The error is LiteLLM's own."""
    with pytest.raises(litellm.BadRequestError, match="no such thing"):
        litellm.completion(model="openai/fails", **ask)
    (receipt,) = receipts(tracker, kept)
    assert (receipt.outcome, receipt.tokens) == ("error", Tokens())


async def test_async_calls(litellm: Any, ask: Any, tracker: Tracker, kept: Kept) -> None:
    """As those that are not."""
    reply = await litellm.acompletion(model="openai/m", **ask)
    stream = await litellm.acompletion(model="openai/s", stream=True, **ask)
    words = [chunk.choices[0].delta.content async for chunk in stream]
    with pytest.raises(litellm.BadRequestError):
        await litellm.acompletion(model="openai/fails", **ask)
    for _ in range(200):
        await asyncio.sleep(0.02)
        if len(kept.receipts) == 3:
            break
    assert reply.choices[0].message.content == TEXT
    assert "".join(word for word in words if word) == TEXT
    assert {one.model: one.outcome for one in kept.receipts} == {
        "m": "ok",
        "s": "ok",
        "fails": "error",
    }
    await litellm.close_litellm_async_clients()


class Proxied:
    """What LiteLLM's proxy tells a logger of one call."""

    def __init__(self, handler: Any, headers: dict[str, str] | None = None) -> None:
        self.handler = handler
        self.data = {
            "model": "m",
            "messages": ASK["messages"],
            "max_tokens": 20,
            "litellm_call_id": "call-1",
            "proxy_server_request": {"headers": headers or {}},
        }

    def admitted(self) -> None:
        asyncio.run(self.handler.async_pre_call_hook(None, None, self.data, "completion"))

    def headers(self, response: Any) -> Any:
        hook = self.handler.async_post_call_response_headers_hook
        return asyncio.run(
            hook(data=self.data, user_api_key_dict=None, response=response, request_headers={})
        )


def test_a_proxied_reply_has_headers(litellm: Any) -> None:
    """Its id always, and its joules where it is not streamed."""
    with by_hand() as rig:
        handler = ours.handler(tracker=rig.tracker)
        proxied = Proxied(handler)
        assert proxied.headers(object()) is None
        handler.log_pre_api_call("m", [], proxied.data)
        rig.clock.advance(2.0)
        rig.tracker.sample()
        handler.log_success_event(proxied.data, litellm.ModelResponse(), None, None)
        (found,) = [proxied.headers(object())]
        assert float(found["x-inferprint-energy-joules"]) == pytest.approx(200.0)
        assert found["x-inferprint-request-id"]

        class Stream:
            def __aiter__(self) -> None:
                """Nothing."""

        assert set(proxied.headers(Stream())) == {"x-inferprint-request-id"}


def test_a_budget_in_a_header_is_held(litellm: Any) -> None:
    """Over it: 429 with the quote; under it, or without a quote: it goes on; none: 400."""
    from fastapi import HTTPException
    from served import IDLE_W, Served

    with by_hand(watts=IDLE_W, idle_w=IDLE_W) as rig:
        handler = ours.handler(tracker=rig.tracker)
        Proxied(handler, {"X-Inferprint-Budget-Joules": "0.001"}).admitted()  # nothing learned yet
        served = Served(rig)
        served.warm_up()
        Proxied(handler).admitted()
        Proxied(handler, {"x-inferprint-budget-joules": "1e9"}).admitted()
        with pytest.raises(HTTPException) as refused:
            Proxied(handler, {"X-Inferprint-Budget-Joules": "0.001"}).admitted()
        with pytest.raises(HTTPException) as none:
            Proxied(handler, {"x-inferprint-budget-carbon-grams": "-1"}).admitted()
    assert refused.value.status_code == 429
    detail: Any = refused.value.detail
    assert detail["quote"]["energy"]["total_j"]["mid"] > detail["limit"] == 0.001
    assert none.value.status_code == 400
    assert "carbon_g" in str(none.value.detail)


def test_a_call_that_is_never_ended_is_cancelled_in_the_end(
    litellm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM tells nothing of a cancellation: the next call that comes finds it."""
    with by_hand() as rig:
        handler = ours.handler(tracker=rig.tracker)
        handler.log_pre_api_call("lost", [], {"litellm_call_id": "a"})
        rig.clock.advance(1.0)
        monkeypatch.setattr(ours, "LONGEST_S", -1.0)
        handler.log_pre_api_call("next", [], {"litellm_call_id": "b"})
        found = {one.model: one.outcome for one in rig.receipts()}
    assert found == {"lost": "cancelled", "next": "cancelled"}


def test_the_proxys_handler_is_of_its_class(litellm: Any) -> None:
    """What ``config.yaml`` names is a CustomLogger; other names are none."""
    import inferprint

    with by_hand() as rig:
        inferprint.set_tracker(rig.tracker)
        try:
            assert isinstance(ours.proxy_handler, litellm.integrations.custom_logger.CustomLogger)
        finally:
            inferprint.set_tracker(None)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ours.nothing


def test_without_the_package_the_error_says_what_to_install() -> None:
    """MissingExtra, with pip's command."""
    result = run_python(
        "-c",
        "import sys; sys.modules['litellm'] = None\n"
        "from inferprint.integrations.litellm import handler\n"
        "try: handler()\n"
        "except ImportError as error: print(type(error).__name__, error)",
    )
    assert result.returncode == 0, result.stderr
    assert "pip install 'inferprint[litellm]'" in result.stdout
