"""LangChain, tracked: the real langchain-core, its chains and its fake models."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from inferprint import Tokens
from inferprint.integrations.langchain import callback_handler
from rig import Rig, by_hand
from support import run_python

USAGE: Any = {
    "input_tokens": 12,
    "output_tokens": 3,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 8},
}
TOLD = Tokens(12, 8, 3)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand() as rig:
        yield rig


def answering(*texts: str) -> GenericFakeChatModel:
    """A chat model that answers so, and tells its usage."""
    return GenericFakeChatModel(
        messages=iter([AIMessage(text, usage_metadata=USAGE) for text in texts])
    )


def config(rig: Rig) -> Any:
    return {"callbacks": [callback_handler(tracker=rig.tracker, labels={"app": "chat"})]}


def test_a_model_has_a_receipt(rig: Rig) -> None:
    """Its tokens, with the cached ones; the answer is what it is."""
    assert answering("Hello").invoke("Hi", config=config(rig)).content == "Hello"
    receipt = rig.one_receipt()
    assert (receipt.tokens, receipt.outcome) == (TOLD, "ok")
    assert receipt.model == "GenericFakeChatModel"
    assert receipt.labels == {"app": "chat"}


def test_a_chain_holds_its_models(rig: Rig) -> None:
    """The outermost chain is the parent of every call inside it, however deep."""
    model = answering("one", "two")
    inner = ChatPromptTemplate.from_template("{x}") | model
    chain = RunnableLambda(lambda x: {"x": x}) | inner | (lambda m: {"x": m.content}) | inner
    assert chain.invoke("go", config=config(rig)).content == "two"
    whole = next(one for one in rig.receipts() if one.children)
    assert whole.model == "RunnableSequence"
    assert [one.tokens for one in whole.children] == [TOLD, TOLD]
    assert len(rig.kept.receipts) == 3


def test_a_stream_tells_its_first_piece(rig: Rig) -> None:
    """The pieces come as they are, and the first one's time is taken."""

    def pieces() -> Iterator[str]:
        for chunk in answering("Joules add up").stream("Hi", config=config(rig)):
            rig.clock.advance(1.0)
            yield str(chunk.content)

    assert "".join(pieces()) == "Joules add up"
    receipt = rig.one_receipt()
    assert receipt.time_to_first_token_s is not None
    assert receipt.time_to_first_token_s < receipt.duration_s
    assert receipt.outcome == "ok"


def test_a_completion_model_tells_what_its_provider_tells(rig: Rig) -> None:
    """A plain model without usage has a receipt without tokens."""
    assert FakeListLLM(responses=["x"]).invoke("Hi", config=config(rig)) == "x"
    assert rig.one_receipt().tokens == Tokens()


def test_usage_of_a_provider(rig: Rig) -> None:
    """Where the messages tell nothing, the result's own usage does."""
    from langchain_core.outputs import Generation, LLMResult

    handler = callback_handler(tracker=rig.tracker)
    run = uuid.uuid4()
    handler.on_llm_start(
        {"id": ["a", "Model"]}, ["x"], run_id=run, invocation_params={"model": "m"}
    )
    told = {"token_usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    handler.on_llm_end(LLMResult(generations=[[Generation(text="x")]], llm_output=told), run_id=run)
    receipt = rig.one_receipt()
    assert (receipt.model, receipt.tokens) == ("m", Tokens(4, None, 2))


def test_a_failure_passes_through(rig: Rig) -> None:
    """The user's exception, and receipts of an error for the model's call and its chain."""

    class Failing(FakeListChatModel):
        def _call(self, *_: Any, **__: Any) -> str:
            raise LookupError("gone")

    chain = RunnableLambda(lambda x: x) | Failing(responses=["x"])
    with pytest.raises(LookupError, match="gone"):
        chain.invoke("Hi", config=config(rig))
    assert [one.outcome for one in rig.receipts()] == ["error", "error"]


async def test_async_calls_and_cancellation(rig: Rig) -> None:
    """Two at a time have a receipt each; one that is cancelled says so."""

    class Slow(FakeListChatModel):
        async def _acall(self, *_: Any, **__: Any) -> str:
            await asyncio.sleep(30)
            return "late"

    async def slow(x: str) -> str:
        await asyncio.sleep(30)
        return x

    chain = answering("a", "b")
    await asyncio.gather(*(chain.ainvoke("Hi", config=config(rig)) for _ in range(2)))
    task = asyncio.create_task(RunnableLambda(slow).ainvoke("Hi", config=config(rig)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = [(one.tokens, one.outcome) for one in rig.receipts()]
    assert found == [(TOLD, "ok"), (TOLD, "ok"), (Tokens(), "cancelled")]


def test_runs_that_never_end_do_not_pile_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of too many is given up as cancelled; an end that comes later is ignored."""
    from inferprint.integrations import langchain

    monkeypatch.setattr(langchain, "MOST_OPEN", 2)
    handler = callback_handler(tracker=rig.tracker)
    runs = [uuid.uuid4() for _ in range(3)]
    for run in runs:
        handler.on_llm_start({"name": "m"}, ["x"], run_id=run)
    handler.on_llm_error(ValueError(), run_id=runs[0])
    assert [one.outcome for one in rig.receipts()] == ["cancelled"]


def test_a_broken_tracker_fails_no_call() -> None:
    """The answer comes; the fault is counted."""

    class Broken:
        faults = 0

        def request(self, *_: Any, **__: Any) -> Any:
            raise ValueError("broken")

        def fault(self, where: str, error: BaseException) -> None:
            self.faults += 1

    broken: Any = Broken()
    handler = callback_handler(tracker=broken)
    assert answering("Hello").invoke("Hi", config={"callbacks": [handler]}).content == "Hello"
    assert broken.faults == 1


def test_without_the_package_the_error_says_what_to_install() -> None:
    """MissingExtra, with pip's command."""
    result = run_python(
        "-c",
        "import sys; sys.modules['langchain_core'] = None\n"
        "from inferprint.integrations.langchain import callback_handler\n"
        "try: callback_handler()\n"
        "except ImportError as error: print(type(error).__name__, error)",
    )
    assert result.returncode == 0, result.stderr
    assert "pip install 'inferprint[langchain]'" in result.stdout
