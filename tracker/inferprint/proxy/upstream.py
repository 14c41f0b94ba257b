"""The upstream's end of an exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from types import TracebackType

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from inferprint.errors import ConfigError
from inferprint.proxy.headers import Headers

__all__ = ["Broken", "NotReached", "Reply", "Upstream", "base_of"]

CONNECT_S = 10.0
KEPT_S = 1.5
"""Seconds for which an idle connection is kept: less than servers keep theirs (2 s and more), as
one that the upstream closes while a request is on its way would fail that request."""

LONGEST_HEADER = 65_536


class NotReached(Exception):
    """No reply came from the upstream.

    Args:
        reason: why, for the client.
        late: whether it took too long to connect.
    """

    def __init__(self, reason: str, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late


class Broken(Exception):
    """The upstream broke off its reply."""


class Reply:
    """What the upstream answers; an async context manager, which lets go of the connection."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = list(response.raw_headers)

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # One that was read to its end is kept for the next request; any other is cut.
        self._response.close()

    @property
    def at_hand(self) -> bool:
        """Whether all of its body has come."""
        return self._response.content.is_eof()

    async def part(self) -> bytes:
        """The next bytes of the body, as many as there are; none at its end. A call that is
        cancelled loses none.

        Raises:
            Broken: it broke off.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(_said(error)) from error


class Upstream:
    """Sends requests on.

    Args:
        base: its address, as ``base_of`` gives it.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str, target: bytes, headers: Headers, body: bytes | AsyncIterator[bytes]
    ) -> Reply:
        """Sends a request and waits for the head of its reply, for as long as the client does.

        Args:
            method: of HTTP.
            target: path and query, as the client sent them.
            headers: as they go out.
            body: the whole or as it comes.

        Raises:
            NotReached: there is no reply.
        """
        if self._session is None:
            self._session = _session()
        pairs = [(_text(name), _text(value)) for name, value in headers]
        try:
            response = await self._session.request(
                method,
                _url(self._base, target),
                headers=CIMultiDict(pairs),
                data=body or None,
                allow_redirects=False,
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise NotReached(f"not connected within {CONNECT_S:g} s", late=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotReached(_said(error)) from error
        return Reply(response)

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()


def base_of(url: str) -> str:
    """An upstream's address without the path's end that clients send themselves.

    Raises:
        ConfigError: it is no address of an HTTP server.
    """
    expected = "the address of an HTTP server, such as http://127.0.0.1:8000"
    try:
        found = URL(url.strip())
        usable = found.scheme in ("http", "https") and bool(found.host) and found.port
    except ValueError:
        raise ConfigError("upstream", url, expected) from None
    if not usable or found.query_string or found.fragment:
        raise ConfigError("upstream", url, expected)
    return str(found).rstrip("/").removesuffix("/v1")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
    )


@lru_cache(maxsize=256)
def _url(base: str, target: bytes) -> URL:
    return URL(base + target.decode("ascii"), encoded=True)


def _text(value: bytes) -> str:
    """As a text that goes out as the same bytes, where these are UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
