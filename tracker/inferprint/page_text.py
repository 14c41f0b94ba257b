"""Reads a page of another server on this site, within limits of time and of size."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

__all__ = ["read_page", "reason"]

# A page that takes longer, or is larger, is not one of metrics.
ANSWERS_WITHIN_S, READ_WITHIN_S, MOST_BYTES = 2.0, 5.0, 16 * 2**20
CHUNK = 65_536

# What an environment names as a proxy is for the web, and not for a server of one's own.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read_page(url: str) -> str:
    """A page as text.

    Args:
        url: of HTTP.

    Raises:
        OSError, http.client.HTTPException, ValueError: it can't be read.
    """
    until_s, page = time.monotonic() + READ_WITHIN_S, bytearray()
    with _opener.open(url, timeout=ANSWERS_WITHIN_S) as reply:
        while chunk := reply.read1(CHUNK):
            page += chunk
            if len(page) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > until_s:
                raise TimeoutError(f"not all of it within {READ_WITHIN_S:g} s")
    return page.decode("utf-8", "replace")


def reason(error: Exception) -> str:
    """Why it could not be read, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
