"""LiteLLM, tracked: the real package, calling a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from chat_server import WORDS
from inferprint.integrations import litellm as ours
from rig import by_hand
from support import REPO, require_module, run_python

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    # The package's own.
    pytest.mark.filterwarnings("ignore"),
]
INSTALL = "pip install 'inferprint[litellm]'"
TEXT = "".join(WORDS)


@pytest.fixture(scope="module")
def litellm() -> Any:
    module = require_module("litellm", INSTALL)
    module.telemetry = False
    module.suppress_debug_info = True
    return module


@pytest.fixture(scope="module")
def found() -> Any:
    """What calls of all kinds gave, and the receipts that they have."""
    require_module("litellm", INSTALL)
    path = os.pathsep.join([str(REPO / "tests"), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, REPO / "tests" / "litellm_calls.py"],
        env={**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout[result.stdout.index("{") :])


def test_calls_give_what_they_give(found: Any) -> None:
    """Whole, streamed and refused; async too."""
    got = found["got"]
    assert {got[name] for name in ("m", "s", "am", "as")} == {TEXT}
    assert "no such thing" in got["fails"]
    assert "no such thing" in got["afails"]
    assert found["faults"] == []


def test_every_call_has_a_receipt(found: Any) -> None:
    """With its model, tokens, energy and outcome, those of streams with their usage."""
    assert len(found["receipts"]) == 6
    told = {"input": 12, "cached_input": 8, "output": 3}
    untold = dict.fromkeys(told)
    for one in found["receipts"]:
        failed = one["model"] == "fails"
        assert one["outcome"] == ("error" if failed else "ok")
        assert one["tokens"] == (untold if failed else told), one["model"]
        assert one["labels"] == {"app": "chat"}
        assert one["energy"]["total_j"]["mid"] > 0
    assert sorted(one["model"] for one in found["receipts"]) == [
        "am", "as", "fails", "fails", "m", "s"
    ]  # fmt: skip


class Proxied:
    """What LiteLLM's proxy tells a logger of one call."""

    def __init__(self, handler: Any, headers: dict[str, str] | None = None) -> None:
        self.handler = handler
        self.data = {
            "model": "m",
            "messages": [{"role": "user", "content": "Hello"}],
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
