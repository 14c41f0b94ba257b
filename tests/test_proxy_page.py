"""The live page among the proxy's own paths."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from browser import chromium, tab
from inferprint import ConfigError, Tracker
from inferprint.loopback import names_for
from inferprint.proxy.page import Page, load_page
from inferprint_exporters.live import live_app
from proxy_rig import ASK, CHAT, Rig, Upstream, behind
from rig import live
from support import REPO, run_python

HERE = "127.0.0.1"


@asynccontextmanager
async def paged(upstream: Upstream, host: str = HERE) -> AsyncIterator[Rig]:
    """A proxy with the page at its usual path."""

    def page(tracker: Tracker) -> Page:
        return Page("/inferprint", live_app(tracker, names_for(host)))

    async with behind(upstream, page=page) as rig:
        yield rig


async def test_the_page_is_at_its_path_and_all_else_passes_through() -> None:
    """Its files, and the way there without the slash; a path that only begins alike is the
    upstream's.
    """
    upstream = Upstream()
    upstream.parts = [b'"upstream"']
    async with paged(upstream) as rig:
        for path in ("/inferprint", "/inferprint/", "/inferprint/static/page.js"):
            async with rig.client.get(rig.url + path) as reply:
                assert reply.status == 200
                assert b"upstream" not in (await reply.read())[:10]
        assert upstream.asked == []
        async with rig.client.get(rig.url + "/inferprint/nothing") as reply:
            assert reply.status == 404
        for path in ("/inferprinted", "/v1/models", "/"):
            async with rig.client.get(rig.url + path) as reply:
                assert await reply.read() == b'"upstream"'
        assert [scope["path"] for scope, _ in upstream.asked] == [
            "/inferprinted",
            "/v1/models",
            "/",
        ]


async def test_the_page_tells_of_what_went_through_the_proxy() -> None:
    """Its stream has the request, and the receipt is given whole."""
    upstream = Upstream()
    async with paged(upstream) as rig:
        reply, _ = await rig.post()
        async with asyncio.timeout(20), rig.client.get(rig.url + "/inferprint/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.content:
                if line.startswith(b'data: {"server"'):
                    server = json.loads(line[6:])["server"]
                if line.startswith(b'data: [{"n"'):
                    break
        (row,) = json.loads(line[6:])
        assert (row["model"], row["id"]) == ("m", reply.headers["x-inferprint-request-id"])
        url = f"{rig.url}/inferprint/receipts/{server}/{row['n']}"
        async with rig.client.get(url) as found:
            assert (await found.json())["request_id"] == row["id"]


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
async def test_by_another_name_the_page_is_not_given(name: str) -> None:
    """A page of elsewhere whose name resolves to this machine reads nothing, and neither does it
    reach the upstream by that path; the upstream's own paths are its own to guard.
    """
    upstream = Upstream()
    async with paged(upstream) as rig:
        for path in ("/inferprint", "/inferprint/", "/inferprint/events"):
            async with rig.client.get(rig.url + path, headers={"host": name}) as reply:
                assert reply.status == 400
        async with rig.client.get(rig.url + "/inferprint/", headers={"host": "localhost:1"}) as own:
            assert own.status == 200
        assert upstream.asked == []


async def test_on_other_addresses_any_name_will_do() -> None:
    """Who has it listen there says who reaches it."""
    async with paged(Upstream(), host="0.0.0.0") as rig:
        headers = {"host": "gpu-7.example"}
        async with rig.client.get(rig.url + "/inferprint/", headers=headers) as reply:
            assert reply.status == 200


async def test_a_stop_ends_the_pages_streams() -> None:
    """Those that it has are ended well, and what has not begun is told that it is not served."""
    began, sent = asyncio.Event(), list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/begun"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        began.set()
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    page = Page("/p", app)
    for path, expected in (("/p/begun", [200, b""]), ("/p/not", [503, b""])):
        began.clear()
        sent.clear()
        scope = {"type": "http", "path": path}
        task = asyncio.create_task(page(scope, None, send))  # type: ignore[arg-type]
        await began.wait()
        page.close()
        await asyncio.wait_for(task, 5.0)
        assert [one.get("status", one.get("body")) for one in sent] == expected


@pytest.mark.parametrize("path", ["", "/", "inferprint", "/inferprint/", "/a//b", "/a?b", "/ü"])
def test_a_path_that_can_not_be_used_is_refused(path: str) -> None:
    """The error names the option."""
    with live() as tracker, pytest.raises(ConfigError, match="page="):
        load_page(path, HERE, tracker)


@contextmanager
def running(*args: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """``inferprint proxy`` beside the test, and what it says of itself."""
    command = [sys.executable, "-W", "error", "-m", "inferprint", "proxy", "--json", *args]
    pipe = subprocess.PIPE
    env = {**os.environ, "INFERPRINT_SOURCES": "cpu_model"}
    with subprocess.Popen(command, env=env, cwd=REPO, stdout=pipe, stderr=pipe, text=True) as run:
        try:
            assert run.stdout is not None
            yield run, json.loads(run.stdout.readline())
        finally:
            run.kill()


def test_the_command_serves_the_page_and_stops_while_it_is_open() -> None:
    """It says where; the stream of who looks at it comes to its end, where one that the stop had
    to wait for would be broken off after 5 s, with an error.
    """
    with running("--upstream", "http://127.0.0.1:9", "--port", "0", "--page") as (process, told):
        assert told["page"] == told["listening"] + "/inferprint/"
        with urllib.request.urlopen(told["page"] + "events", timeout=20) as stream:
            assert stream.readline() == b"event: hello\n"
            process.send_signal(signal.SIGTERM)
            stream.read()
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_without_the_option_there_is_no_page() -> None:
    """It is asked for, or not there."""
    with running("--upstream", "http://127.0.0.1:9", "--port", "0") as (_, told):
        assert "page" not in told
        with pytest.raises(urllib.error.HTTPError, match="502") as caught:
            urllib.request.urlopen(told["listening"] + "/inferprint/", timeout=20)
        caught.value.close()


def test_what_the_page_needs_is_named() -> None:
    """Without starlette: the extra that brings it."""
    script = (
        "import sys; sys.modules['starlette'] = None\n"
        "from inferprint.cli import main\n"
        "main(['proxy', '--upstream', 'http://x', '--port', '0', '--page'])"
    )
    result = run_python("-c", script, env={"INFERPRINT_SOURCES": "cpu_model"})
    assert "pip install 'inferprint[serve]'" in result.stderr


@contextmanager
def in_a_thread() -> Iterator[str]:
    """A proxy with the page, served beside the test; gives its address."""
    told: list[str] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        upstream = Upstream()
        upstream.parts, upstream.delay_s = [b'{"usage":{"prompt_tokens":1}}'], 0.1
        async with paged(upstream) as rig:
            told.append(rig.url)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield told[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@pytest.mark.real
def test_a_browser_follows_the_proxys_requests() -> None:
    """In a real Chromium, from an address without the slash: all that the page asks for comes
    from below its path, its stream is live, and a request through the proxy appears and unfolds.
    """
    with in_a_thread() as url, chromium() as browser, tab(browser, f"{url}/inferprint") as opened:
        page = opened.page
        page.wait_for_function("() => document.querySelector('#link').innerText.includes('live')")
        headers = {"content-type": "application/json"}
        asked = urllib.request.Request(url + CHAT, ASK.replace(b'"m"', b'"seen-model"'), headers)
        with urllib.request.urlopen(asked, timeout=20) as reply:
            request_id = reply.headers["x-inferprint-request-id"]
        page.wait_for_function(
            "() => document.querySelector('#requests').innerText.includes('seen-model')",
            timeout=10_000,
        )
        page.locator("#requests").get_by_text("seen-model").first.click()
        page.wait_for_function(
            "id => document.querySelector('#requests').innerText.includes(id)", arg=request_id
        )
        assert {one.status for one in opened.responses} <= {200, 307}
        assert all(one.url.startswith(f"{url}/inferprint") for one in opened.responses)
        assert opened.complaints == []
