"""The trace that a request is a part of, as labels of its own. Pure.

Source: W3C, Trace Context (Recommendation, 2021), section 3.2: the header ``traceparent``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["SPAN_ID", "TRACE_ID", "trace_labels"]

TRACE_ID, SPAN_ID = "trace_id", "span_id"
"""Labels: of the trace, and of the span in it that the request ran in."""

_SAMPLED = 1
# Later versions may have more after the flags.
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def trace_labels(traceparent: bytes) -> Mapping[str, str]:
    """The labels of a request whose caller sent this header; none where it is not usable, and
    where the trace is not recorded: nothing would be found under its id.
    """
    found = _PARENT.fullmatch(traceparent.strip())
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return {}
    named, sampled = any(found[2].strip(b"0")) and any(found[3].strip(b"0")), int(found[4], 16)
    if not (named and sampled & _SAMPLED):
        return {}
    return {TRACE_ID: found[2].decode(), SPAN_ID: found[3].decode()}
