"""The replies that the proxy makes itself, in the shape of OpenAI's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inferprint.errors import BudgetExceeded, ConfigError
from inferprint.proxy.headers import REQUEST_ID, Headers
from inferprint.proxy.inbox import Refused, Send
from inferprint.proxy.upstream import NotReached
from inferprint.quote import Quote

__all__ = ["Own", "bad_header", "cut_short", "no_reply", "over_budget", "quoted", "refused"]


class Own:
    """A reply of the proxy's own.

    Args:
        status: of HTTP.
        document: its body.
        headers: beside those that tell of the body.
    """

    def __init__(
        self, status: int, document: Mapping[str, Any], headers: Headers | None = None
    ) -> None:
        self.status = status
        self._body = json.dumps(document, allow_nan=False).encode()
        self._headers = headers or []

    async def send(self, send: Send, request_id: str | None) -> None:
        """Sends it."""
        headers: Headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
            *self._headers,
        ]
        if request_id is not None:
            headers.append((REQUEST_ID, request_id.encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def bad_header(error: ConfigError) -> Own:
    """A header of ours says what it can't."""
    return Own(400, _error(str(error), "invalid_request_error"))


def refused(error: Refused) -> Own:
    """The client's body is not taken."""
    # The rest of the body is not read, so the connection can't be used again.
    return Own(error.status, _error(str(error), error.kind), [(b"connection", b"close")])


def no_reply(error: NotReached) -> Own:
    """The upstream gave none."""
    kind = "upstream_timeout" if error.late else "upstream_unreachable"
    return Own(504 if error.late else 502, _error(f"the upstream did not reply: {error}", kind))


def over_budget(error: BudgetExceeded, input_is_estimated: bool) -> Own:
    """The request is expected to use more than its budget."""
    document = _error(str(error), "budget_exceeded")
    if error.quote is not None:
        document |= _quote(error.quote, input_is_estimated)
    # The openai clients send again after a 429, and the answer would be the same.
    return Own(429, document, [(b"x-should-retry", b"false")])


def cut_short(error: BudgetExceeded) -> bytes:
    """The end of a stream that has used more than its budget."""
    document = _error(str(error), "budget_exceeded")
    return b"data: " + json.dumps(document).encode() + b"\n\ndata: [DONE]\n\n"


def quoted(quote: Quote, input_is_estimated: bool) -> Own:
    """What a request would use, in place of running it."""
    return Own(200, {"object": "inferprint.quote"} | _quote(quote, input_is_estimated))


def _quote(quote: Quote, input_is_estimated: bool) -> dict[str, Any]:
    return {"quote": quote.to_dict(), "input_tokens_are_estimated": input_is_estimated}
