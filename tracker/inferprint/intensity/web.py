"""One GET of JSON: bounded in time and size, its faults told apart."""

from __future__ import annotations

import functools
import json
import math
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from inferprint._version import __version__
from inferprint.errors import MissingExtra
from inferprint.intensity.feed import Fault

if TYPE_CHECKING:
    import httpx

__all__ = ["Web", "is_token", "retry_after_s"]

TIMEOUT_S = 10.0
# A day of forecasts every five minutes is about 30 kB.
MOST_BYTES = 4_000_000


class Web:
    """Asks a service.

    Args:
        feature: what needs it, for the error where httpx is missing.
        mend: what mends a token that is refused.
        timeout_s: how long one answer may take, and one step of it.

    Raises:
        MissingExtra: httpx is not installed.
    """

    def __init__(self, feature: str, mend: str, timeout_s: float = TIMEOUT_S) -> None:
        try:
            import httpx  # noqa: F401
        except ImportError:
            raise MissingExtra(feature, "live") from None
        self._mend, self._timeout_s = mend, timeout_s

    def get(self, url: str, **request: Any) -> Any:
        """The JSON at a place.

        Args:
            url: the place.
            **request: as for ``httpx.Client.stream``: ``params``, ``headers``, ``auth``.

        Raises:
            Fault: it was not to be had; ``kind`` is ``refused`` where the token was.
        """
        import httpx

        until_s = time.monotonic() + self._timeout_s
        try:
            # Nothing is kept open between two looks, and no redirect gets the token.
            with (
                httpx.Client(verify=_tls(), timeout=self._timeout_s, headers=_AGENT) as client,
                client.stream("GET", url, **request) as response,
            ):
                self._check(response)
                return json.loads(_body(response, until_s))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = type(error).__name__
            raise Fault(f"{url}: {kind}: {error}", kind) from None
        except (ValueError, RecursionError):
            raise Fault(f"{url}: the answer is no JSON") from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        # Without the query, and without the answer, which may repeat what it was asked with.
        what = f"{response.url.copy_with(query=None)}: HTTP {status} {response.reason_phrase}"
        if status in (401, 403):
            raise Fault(f"{what}. {self._mend}", "refused")
        wait_s = retry_after_s(response.headers.get("retry-after", ""), time.time())
        raise Fault(what, f"http_{status}", wait_s)


_AGENT = {"User-Agent": f"inferprint/{__version__}"}


@functools.cache
def _tls() -> ssl.SSLContext:
    # Made once: it takes 65 ms, more than all of the rest.
    import httpx

    return httpx.create_ssl_context()


def _body(response: httpx.Response, until_s: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Fault(f"{response.url}: the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > until_s:
            raise Fault(f"{response.url}: the answer is too slow", "slow")
    return bytes(body)


def retry_after_s(text: str, now_s: float) -> float:
    """How long a service asks to be left alone; 0 where it does not say.

    Args:
        text: its header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3).
        now_s: Unix time.
    """
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now_s
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, wait_s) if math.isfinite(wait_s) else 0.0


def is_token(text: object) -> bool:
    """Whether a text can be sent as a token: so that no error ever has to repeat it."""
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable()
