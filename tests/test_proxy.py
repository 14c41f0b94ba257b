"""The proxy between real servers and clients: what each sees of the other."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import math
import threading
from typing import Any

import openai
import pytest

from inferprint import Config
from proxy_rig import (
    ASK,
    ASK_STREAM,
    CHAT,
    EVENTS,
    JSON,
    Upstream,
    all_of,
    behind,
    events,
    proxied,
    raw_server,
    wait_for,
)

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
REPLY = json.dumps(
    {
        "id": "r",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ü 1"}}],
        "usage": USAGE,
    }
).encode()


def chunk(content: str | None = None, **more: Any) -> bytes:
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}}]
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps({**told, "choices": choices, **more}).encode()


STREAM = [events(chunk("a")), events(chunk("b")), events(chunk("c"))]
USAGE_CHUNK = events(chunk(usage=USAGE))
DONE = b"data: [DONE]\n\n"


async def test_a_plain_reply_carries_its_footprint() -> None:
    """In its usage, after all that the upstream said, and in the headers; the receipt has the
    tokens that the upstream told.
    """
    upstream = Upstream()
    upstream.parts, upstream.delay_s = [REPLY], 0.3
    async with behind(upstream) as rig:
        reply, body = await rig.post()
        footprint = json.loads(body)["usage"].pop("footprint")
        said = b',"footprint":' + json.dumps(footprint, separators=(",", ":")).encode()
        assert body.replace(said, b"") == REPLY
        assert reply.headers["x-inferprint-request-id"] == footprint["request_id"]
        assert float(reply.headers["x-inferprint-energy-joules"]) == footprint["energy_joules"]
        assert 15 < footprint["energy_joules"] < 90  # 100 W for 0.3 s
        assert footprint["is_estimated"] is True
        receipt = await rig.receipt()
        assert receipt.request_id == footprint["request_id"]
        assert (receipt.model, receipt.outcome) == ("m", "ok")
        assert (receipt.tokens.input, receipt.tokens.output) == (12, 3)


async def test_a_stream_carries_its_footprint_before_its_end() -> None:
    """A client that asked for no usage gets all chunks as they were, then one with no choices
    in place of the usage's, then a comment, then the end.
    """
    upstream = Upstream()
    upstream.headers, upstream.parts = EVENTS, [*STREAM, USAGE_CHUNK, DONE]
    async with behind(upstream) as rig:
        _, body = await rig.post(ASK_STREAM)
        assert json.loads(upstream.asked_for)["stream_options"] == {"include_usage": True}
        before, last, comment = body.removesuffix(DONE).rsplit(b"\n\n", 3)[:3]
        assert before + b"\n\n" == b"".join(STREAM)
        told = json.loads(last.removeprefix(b"data: "))
        assert told["choices"] == []
        assert {**USAGE, "footprint": told["usage"]["footprint"]} == told["usage"]
        energy = json.loads(comment.removeprefix(b": energy "))
        assert energy["energy_joules"] == told["usage"]["footprint"]["energy_joules"]
        receipt = await rig.receipt()
        assert (receipt.tokens.input, receipt.tokens.output) == (12, 3)
        assert receipt.time_to_first_token_s is not None
        assert "tokens_counted" not in receipt.flags


async def test_a_usage_that_was_asked_for_keeps_its_place() -> None:
    """The client's own wish goes on as it was, and the footprint is in the chunk it asked for."""
    ask = ASK_STREAM[:-1] + b', "stream_options": {"include_usage": true} }'
    upstream = Upstream()
    upstream.headers, upstream.parts = EVENTS, [*STREAM, USAGE_CHUNK, DONE]
    async with behind(upstream) as rig:
        _, body = await rig.post(ask)
        assert upstream.asked_for == ask
        chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
        assert len(chunks) == 4
        assert set(chunks[-1]["usage"]) == {*USAGE, "footprint"}


async def test_tokens_are_counted_where_no_usage_is_told() -> None:
    """Each piece of output counts, and the receipt says that it was counted so."""
    upstream = Upstream()
    upstream.headers, upstream.parts = EVENTS, [*STREAM, DONE]
    async with behind(upstream) as rig:
        _, body = await rig.post(ASK_STREAM)
        last = json.loads(body.rsplit(b"data: {", 1)[1].join([b"{", b""]).split(b"\n")[0])
        assert set(last["usage"]) == {"footprint"}
        receipt = await rig.receipt()
        assert receipt.tokens.output == 3
        assert "tokens_counted" in receipt.flags


@pytest.mark.parametrize("streams", [False, True])
async def test_the_unchanged_openai_client_works(streams: bool) -> None:
    """Plain and streamed; the footprint is where its objects keep what they do not know."""
    upstream = Upstream()
    upstream.headers = EVENTS if streams else JSON
    upstream.parts = [*STREAM, USAGE_CHUNK, DONE] if streams else [REPLY]
    async with (
        behind(upstream) as rig,
        openai.AsyncOpenAI(base_url=rig.url + "/v1", api_key="sk-secret") as client,
    ):
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        if streams:
            chunks = [
                one async for one in await client.chat.completions.create(**asked, stream=True)
            ]
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            usage: Any = chunks[-1].usage
        else:
            reply = await client.chat.completions.create(**asked)
            text, usage = reply.choices[0].message.content or "", reply.usage
        assert text == ("abc" if streams else "ü 1")
        assert usage.completion_tokens == 3
        assert usage.footprint["energy_joules"] > 0
        assert upstream.asked_with[b"authorization"] == b"Bearer sk-secret"


async def test_the_responses_api_is_followed() -> None:
    """Its last event holds the whole response, with a usage of its own: the footprint is there."""
    usage = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
    done = {"type": "response.completed", "response": {"id": "r", "usage": usage}}
    kind = b"response.output_text.delta"
    delta = b'event: %s\ndata: {"type":"%s","delta":"x"}\n\n' % (kind, kind)
    last = b"event: response.completed\ndata: " + json.dumps(done).encode() + b"\n\n"
    upstream = Upstream()
    upstream.headers, upstream.parts = EVENTS, [delta, delta, last]
    async with behind(upstream) as rig:
        _, body = await rig.post(b'{"model":"m","input":"x","stream":true}', "/v1/responses")
        assert b"stream_options" not in upstream.asked_for
        assert body.startswith(delta + delta)
        told = json.loads(body.split(b"data: ")[3].split(b"\n")[0])
        assert told["response"]["usage"].pop("footprint")["energy_joules"] is not None
        assert told == done
        assert b"\n\n: energy {" in body
        receipt = await rig.receipt()
        assert (receipt.tokens.input, receipt.tokens.output) == (4, 2)


async def test_embeddings_are_measured() -> None:
    """Their usage has no output, and gets the footprint too."""
    upstream = Upstream()
    upstream.parts = [
        b'{"data":[{"embedding":[0.25]}],"usage":{"prompt_tokens":7,"total_tokens":7}}'
    ]
    async with behind(upstream) as rig:
        _, body = await rig.post(b'{"model":"e","input":"x"}', "/v1/embeddings")
        assert "footprint" in json.loads(body)["usage"]
        assert (await rig.receipt()).tokens.input == 7


async def test_everything_else_passes_through() -> None:
    """Another path is sent on and back as it is, queries and headers included, unmeasured."""
    upstream = Upstream()
    upstream.headers = [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]
    upstream.parts = [b"a", b"b"]
    async with behind(upstream) as rig:
        async with rig.client.get(rig.url + "/v1/models%2Fx?a=%20b") as reply:
            assert await reply.read() == b"ab"
            assert reply.headers.getall("set-cookie") == ["a", "b"]
            assert not [name for name in reply.headers if name.startswith("x-inferprint")]
        scope, _ = upstream.asked[-1]
        assert (scope["raw_path"], scope["query_string"]) == (b"/v1/models%2Fx", b"a=%20b")
        await rig.receipts(0)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_an_upstream_s_error_reaches_the_client_as_it_is(status: int) -> None:
    """Status, headers and body; the receipt's outcome is error."""
    upstream = Upstream()
    upstream.status, upstream.parts = status, [b'{"error": {"message": "no"}, "usage": {}}']
    upstream.headers = [*JSON, (b"retry-after", b"7")]
    async with behind(upstream) as rig:
        reply, body = await rig.post()
        assert (reply.status, body) == (status, upstream.parts[0])
        assert reply.headers["retry-after"] == "7"
        assert (await rig.receipt()).outcome == "error"


async def test_html_reaches_the_client_as_it_is() -> None:
    """What is no JSON and no stream of events is not looked into."""
    upstream = Upstream()
    upstream.headers, upstream.parts = [(b"content-type", b"text/html")], [b"<p>usage</p>"]
    async with behind(upstream) as rig:
        assert (await rig.post())[1] == b"<p>usage</p>"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'{"usage": null}', b'{"usage": 3}', b'{"usage": {}} x', b"\xff{}",
     b'{"a": 1}', b'{"usage":{"prompt_tokens":"x"},"a"'],
)  # fmt: skip
async def test_a_reply_without_a_usable_usage_stays_as_it_is(body: bytes) -> None:
    """JSON that is none, or has no place for a footprint; the headers tell the energy."""
    upstream = Upstream()
    upstream.parts = [body]
    async with behind(upstream) as rig:
        reply, got = await rig.post()
        assert got == body
        assert "x-inferprint-energy-joules" in reply.headers


async def test_wrong_counts_are_said_on_the_receipt() -> None:
    """Counts that are none reach the client, and the receipt says that they could not be read."""
    upstream = Upstream()
    upstream.parts = [b'{"usage":{"prompt_tokens":-1,"completion_tokens":"many"}}']
    async with behind(upstream) as rig:
        _, body = await rig.post()
        assert body.startswith(upstream.parts[0][:-2])
        receipt = await rig.receipt()
        assert receipt.tokens.output is None
        assert "tokens_unreadable" in receipt.flags


async def test_requests_that_are_no_json_go_on_as_they_are() -> None:
    """Invalid JSON, half a character, another content type: the upstream decides."""
    upstream = Upstream()
    upstream.status, upstream.parts = 400, [b'{"error":"?"}']
    async with behind(upstream) as rig:
        for body in (b"{", b'{"stream": true, "model": "\xc3', b"a=1", b"[]", b'{"stream":true}}'):
            reply, _ = await rig.post(body, content_type="text/plain")
            assert (reply.status, upstream.asked_for) == (400, body)
            assert upstream.asked_with[b"content-type"] == b"text/plain"


async def test_a_gzipped_reply_stays_gzipped() -> None:
    """Plain and streamed: it is unpacked, told its footprint and packed again."""
    upstream = Upstream()
    upstream.headers = [*JSON, (b"content-encoding", b"gzip")]
    upstream.parts = [gzip.compress(REPLY)]
    async with behind(upstream) as rig:
        reply, body = await rig.post(accept_encoding="br, gzip;q=0.5")
        assert upstream.asked_with[b"accept-encoding"] == b"gzip"
        assert reply.headers["content-encoding"] == "gzip"
        assert "footprint" in json.loads(gzip.decompress(body))["usage"]
        packed = gzip.compress(b"".join([*STREAM, DONE]))
        upstream.headers = [*EVENTS, (b"content-encoding", b"gzip")]
        upstream.parts = [packed[:9], packed[9:]]
        _, body = await rig.post(ASK_STREAM, accept_encoding="gzip")
        assert gzip.decompress(body).startswith(b"".join(STREAM))
        assert b'"footprint"' in gzip.decompress(body)


async def test_a_coding_that_cannot_be_read_is_left_alone() -> None:
    """A client that takes br alone gets what it would, or nothing packed."""
    upstream = Upstream()
    upstream.headers, upstream.parts = [*JSON, (b"content-encoding", b"br")], [b"\x01\x02"]
    async with behind(upstream) as rig:
        _, body = await rig.post(accept_encoding="br")
        assert body == b"\x01\x02"
        assert upstream.asked_with[b"accept-encoding"] == b"identity"


async def test_a_client_that_leaves_cancels_the_upstream() -> None:
    """The upstream sees it go, and the receipt's outcome is cancelled."""
    upstream = Upstream()
    upstream.headers, upstream.parts, upstream.endless = EVENTS, [], lambda n: STREAM[0]
    async with behind(upstream) as rig:
        async with rig.client.post(rig.url + CHAT, data=ASK_STREAM) as reply:
            await reply.content.readany()
            reply.close()
        await wait_for(lambda: upstream.left)
        receipt = await rig.receipt()
        assert receipt.outcome == "cancelled"
        assert receipt.tokens.output
        assert "tokens_counted" in receipt.flags


async def test_a_client_that_leaves_before_the_reply_cancels_the_upstream() -> None:
    """It is not waited for the upstream to begin."""
    upstream = Upstream()
    upstream.delay_s = 30.0
    async with behind(upstream) as rig:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await rig.post()
        await wait_for(lambda: upstream.left)
        assert (await rig.receipt()).outcome == "cancelled"


async def test_an_upstream_that_is_not_there_is_a_bad_gateway() -> None:
    """The client is told so in the shape of an error, and the receipt's outcome is error."""
    async with proxied("http://127.0.0.1:9") as rig:
        reply, body = await rig.post()
        assert reply.status == 502
        assert json.loads(body)["error"]["code"] == "upstream_unreachable"
        assert reply.headers["x-inferprint-request-id"]
        assert (await rig.receipt()).outcome == "error"


@pytest.mark.parametrize("streams", [False, True])
async def test_an_upstream_that_breaks_off_breaks_off_for_the_client(streams: bool) -> None:
    """It gets what came, byte for byte, and then sees the reply end before its time."""
    kind = b"text/event-stream" if streams else b"application/json"
    sent = STREAM[0] + b'data: {"half' if streams else REPLY[:50]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: " + kind
        writer.write(head + b"\r\n\r\n%x\r\n%s\r\n" % (len(sent), sent))
        await writer.drain()

    async with raw_server(answer) as url, proxied(url) as rig:
        async with rig.client.post(rig.url + CHAT, data=ASK_STREAM) as reply:
            assert await all_of(reply) == sent
        assert (await rig.receipt()).outcome == "error"


async def test_an_upstream_that_speaks_no_http_is_a_bad_gateway() -> None:
    """Whatever it says instead."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    async with raw_server(answer) as url, proxied(url) as rig:
        assert (await rig.post())[0].status == 502


async def test_fifty_streams_survive_the_death_of_their_upstream() -> None:
    """Killed in the middle, each client sees its own stream break off; the proxy goes on."""
    streaming, killed = asyncio.Semaphore(0), asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream"
        writer.write(head + b"\r\n\r\n%x\r\n%s\r\n" % (len(STREAM[0]), STREAM[0]))
        await writer.drain()
        await killed.wait()
        writer.transport.abort()

    async def client(rig: Any) -> bytes:
        async with rig.client.post(rig.url + CHAT, data=ASK_STREAM) as reply:
            begun = await reply.content.readexactly(len(STREAM[0]))
            streaming.release()
            return begun + await all_of(reply)

    async with raw_server(answer) as url, proxied(url) as rig:
        clients = [asyncio.create_task(client(rig)) for _ in range(50)]
        for _ in clients:
            await streaming.acquire()
        killed.set()
        assert await asyncio.gather(*clients) == [STREAM[0]] * 50
        receipts = await rig.receipts(50)
        assert {receipt.outcome for receipt in receipts} == {"error"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(chunked: bool) -> None:
    """413 in the shape of an error, whether its length is told or not; the upstream sees none."""
    upstream = Upstream()

    async def pieces() -> Any:
        for _ in range(40):
            yield b"x" * 65_536

    async with behind(upstream, most_body_bytes=2_000_000) as rig:
        data = pieces() if chunked else io.BytesIO(b"x" * 2_000_001)
        async with rig.client.post(rig.url + CHAT, data=data) as reply:
            assert reply.status == 413
            assert (await reply.json())["error"]["code"] == "request_too_large"
        assert upstream.asked == []
        upstream.parts = [REPLY]
        assert (await rig.post())[0].status == 200


async def test_a_large_body_goes_by_in_pieces() -> None:
    """Its model is found on the way, and the reply carries a footprint."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    body = b'{"messages":[{"content":"' + b"x" * 3_000_000 + b'"}],"model":"big","stream":true}'
    async with behind(upstream) as rig:
        _, reply = await rig.post(body)
        assert upstream.asked_for == body
        assert "footprint" in json.loads(reply)["usage"]
        assert (await rig.receipt()).model == "big"


async def test_a_large_reply_goes_by_in_pieces() -> None:
    """The footprint is put in as it goes by, and the tokens are known."""
    data = b'"data":"' + b"y" * 3_000_000 + b'"'
    upstream = Upstream()
    upstream.parts = [b"{", data, b', "usage": {"prompt_tokens": 5, "total_tokens": 5 }', b" }\n"]
    async with behind(upstream) as rig:
        reply, body = await rig.post(path="/v1/embeddings")
        footprint = json.loads(body)["usage"]["footprint"]
        said = b',"footprint":' + json.dumps(footprint, separators=(",", ":")).encode()
        assert body.replace(said, b"") == b"".join(upstream.parts)
        assert "x-inferprint-energy-joules" in reply.headers
        assert (await rig.receipt()).tokens.input == 5


async def test_a_slow_reply_is_not_held_back() -> None:
    """One that trickles reaches the client as it comes, and gets its footprint on the way."""
    upstream = Upstream()

    def piece(number: int) -> bytes:
        if number == 40:
            upstream.endless = None
        return b'"usage":{"prompt_tokens":1}}' if number == 40 else b" "

    upstream.parts, upstream.endless = [b"{"], piece
    async with behind(upstream) as rig, rig.client.post(rig.url + CHAT, data=ASK) as reply:
        assert upstream.endless is not None
        assert "footprint" in json.loads(await reply.read())["usage"]


async def test_a_stream_asked_for_several_answers_counts_them_all() -> None:
    """With n above 1 the pieces of all choices are output."""
    two = json.dumps({"choices": [{"index": i, "delta": {"content": "x"}} for i in (0, 1)]})
    upstream = Upstream()
    upstream.headers, upstream.parts = EVENTS, [events(two.encode()) * 3, DONE]
    async with behind(upstream) as rig:
        await rig.post(b'{"model":"m","n":2,"stream":true}')
        assert (await rig.receipt()).tokens.output == 6


async def test_a_model_s_name_can_inject_nothing() -> None:
    """Line breaks in it stay inside of JSON, and reach no header and no event."""
    name = "m\r\nx-evil: 1\n\ndata: [DONE]\n\n"
    upstream = Upstream()
    upstream.headers = EVENTS
    upstream.parts = [events(chunk("a", model=name)), DONE]
    async with behind(upstream) as rig:
        reply, body = await rig.post(json.dumps({"model": name, "stream": True}).encode())
        assert "x-evil" not in reply.headers
        assert body.count(DONE) == 1
        assert (await rig.receipt()).model == name


async def test_slow_clients_keep_nobody_out() -> None:
    """Two hundred that never end their heads or bodies; others are served meanwhile."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    async with behind(upstream) as rig:
        host, port = rig.url.removeprefix("http://").split(":")
        begun = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
        writers = []
        for number in range(200):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(begun + (b"\r\n{" if number % 2 else b""))
            writers.append(writer)
        assert (await rig.post())[0].status == 200
        assert len(upstream.asked) == 1
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers))


async def test_a_budget_is_held_before_the_run() -> None:
    """Over it: 429, the quote in the body, and the upstream is never asked. Under it, it runs."""
    upstream = Upstream()
    upstream.parts, upstream.delay_s = [REPLY], 0.1
    async with behind(upstream) as rig:
        for _ in range(8):
            await rig.post()
        await rig.receipts(8)
        reply, body = await rig.post(x_inferprint_budget_joules="0.001")
        assert (reply.status, reply.headers["x-should-retry"]) == (429, "false")
        document = json.loads(body)
        assert document["error"]["code"] == "budget_exceeded"
        assert document["quote"]["energy"]["total_j"]["mid"] > 0.001
        assert document["input_tokens_are_estimated"] is True
        assert len(upstream.asked) == 8
        reply, _ = await rig.post(
            x_inferprint_budget_joules="1e9", x_inferprint_budget_carbon_grams="1e9"
        )
        assert reply.status == 200
        assert not [name for name in upstream.asked_with if name.startswith(b"x-inferprint")]


async def test_a_stream_over_its_budget_is_cut_short() -> None:
    """The client is told so as an error and an end, and the upstream sees it go."""
    upstream = Upstream()
    upstream.headers, upstream.parts, upstream.endless = EVENTS, [], lambda n: STREAM[0]
    async with behind(upstream) as rig:
        _, body = await rig.post(ASK_STREAM, x_inferprint_budget_joules="20")
        assert body.startswith(STREAM[0])
        error, done = body.rsplit(b"data: ", 2)[1:]
        assert json.loads(error)["error"]["code"] == "budget_exceeded"
        assert b"data: " + done == DONE
        await wait_for(lambda: upstream.left)
        receipt = await rig.receipt()
        assert receipt.outcome == "cancelled"
        assert "over_budget" in receipt.flags


async def test_a_source_that_hangs_holds_no_reply_up() -> None:
    """A device that does not answer delays the receipt, and not the reply."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    async with behind(upstream) as rig:
        hangs = threading.Event()
        rig.source.read = lambda: hangs.wait(2.0) and []  # type: ignore[method-assign]
        await asyncio.sleep(0.3)
        async with asyncio.timeout(1.5):
            assert (await rig.post())[0].status == 200
        assert not hangs.is_set()
        hangs.set()
        del rig.source.read


async def test_a_quote_alone_runs_nothing() -> None:
    """The quote is in the body, with the tokens that the client told."""
    upstream = Upstream()
    async with behind(upstream) as rig:
        reply, body = await rig.post(
            b'{"model":"m","max_tokens":9,"n":2}',
            x_inferprint_quote="only",
            x_inferprint_input_tokens="70",
        )
        document = json.loads(body)
        assert (reply.status, document["object"]) == (200, "inferprint.quote")
        assert document["input_tokens_are_estimated"] is False
        assert (document["quote"]["input_tokens"], document["quote"]["max_output_tokens"]) == (
            70,
            18,
        )
        assert upstream.asked == []
        await rig.receipts(0)


@pytest.mark.parametrize(
    ("header", "value"),
    [("budget-joules", "-1"), ("budget-joules", "nan"), ("budget-carbon-grams", "x"),
     ("quote", "yes"), ("input-tokens", "1.5")],
)  # fmt: skip
async def test_a_header_of_ours_that_says_nothing_is_refused(header: str, value: str) -> None:
    """400, with its name and what would be right: a budget may not be ignored."""
    async with behind(Upstream()) as rig:
        reply, body = await rig.post(**{f"x-inferprint-{header}": value})
        assert reply.status == 400
        assert f"x-inferprint-{header}" in json.loads(body)["error"]["message"]


async def test_labels_come_from_the_headers_that_the_operator_names() -> None:
    """As they are or hashed, and past the cap other; no prompt, reply or key is on a receipt."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    named = {"route": "x-route", "tenant": "x-tenant"}
    config = Config(max_label_values=2)
    async with behind(upstream, config=config, labels=named, hashed_labels=["tenant"]) as rig:
        for tenant in ("ann", "ann", "bob", "eve"):
            await rig.post(x_route="/a", x_tenant=tenant, authorization="Bearer sk-secret")
        receipts = await rig.receipts(4)
        assert {receipt.labels["route"] for receipt in receipts} == {"/a"}
        first, second, third, fourth = (receipt.labels["tenant"] for receipt in receipts)
        assert first == second != third
        assert fourth == "other"
        everything = "".join(receipt.to_json() for receipt in receipts)
        assert not any(word in everything for word in ("ann", "bob", "sk-secret", 'hi"', "ü"))


async def test_bodies_are_left_alone_on_demand() -> None:
    """Then the footprint is in headers and comments, and the usage that was asked for is gone."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    async with behind(upstream, in_bodies=False) as rig:
        reply, body = await rig.post()
        assert body == REPLY
        assert "x-inferprint-energy-joules" in reply.headers
        upstream.headers, upstream.parts = EVENTS, [*STREAM, USAGE_CHUNK, DONE]
        _, body = await rig.post(ASK_STREAM)
        kept, comment = body.removesuffix(DONE).split(b": energy ")
        assert kept == b"".join(STREAM)
        assert math.isfinite(json.loads(comment)["energy_joules"])


async def test_keep_alive_serves_many_requests_on_one_connection() -> None:
    """On both sides: requests after the first open none."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    async with behind(upstream) as rig:
        for _ in range(5):
            await rig.post()
        assert len({tuple(scope["client"]) for scope, _ in upstream.asked}) == 1


async def test_a_fault_of_the_tracker_changes_no_reply() -> None:
    """Without a footprint the reply is what the upstream sent."""
    upstream = Upstream()
    upstream.parts = [REPLY]

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    async with behind(upstream) as rig:
        rig.tracker.estimate = broken  # type: ignore[method-assign]
        assert (await rig.post())[1] == REPLY
        rig.tracker.request = broken  # type: ignore[method-assign]
        assert (await rig.post())[1] == REPLY
        upstream.headers, upstream.parts = EVENTS, [*STREAM, USAGE_CHUNK, DONE]
        assert (await rig.post(ASK_STREAM))[1] == b"".join([*STREAM, DONE])


async def test_a_traced_request_has_the_ids_of_its_trace() -> None:
    """From the header that the client's tracing sends, which goes on to the upstream as it is."""
    upstream = Upstream()
    upstream.parts = [REPLY]
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    async with behind(upstream) as rig:
        await rig.post(traceparent=parent)
        assert (b"traceparent", parent.encode()) in upstream.asked[-1][0]["headers"]
        assert (await rig.receipt()).labels == {"trace_id": "ab" * 16, "span_id": "cd" * 8}
