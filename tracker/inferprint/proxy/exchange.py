"""A measured exchange: what the client asks for, and what is expected of it before it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from inferprint.errors import BudgetExceeded, ConfigError
from inferprint.planned import Plan
from inferprint.proxy import replies
from inferprint.proxy.asked import MEMBERS, Asked, asked_of, expected_of, with_usage
from inferprint.proxy.headers import Wishes, by_name, readable_coding, wishes_of
from inferprint.proxy.inbox import Gone, Refused
from inferprint.proxy.labels import Labels
from inferprint.proxy.parts import MOST_BUFFERED, Parts
from inferprint.proxy.relay import Relay
from inferprint.proxy.scan import Scan
from inferprint.proxy.tracked import Tracked
from inferprint.proxy.upstream import NotReached, Reply
from inferprint.quote import Quote
from inferprint.request import outcome_of

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["Exchange"]


class Exchange:
    """One request that runs a model.

    Args:
        parts: its two ends.
        tracker: measures it.
        labels: reads who it is for.
    """

    def __init__(self, parts: Parts, tracker: Tracker, labels: Labels) -> None:
        self._parts = parts
        self._tracker = tracker
        self._labels = labels
        self._tracked = Tracked(tracker)
        self._scan = Scan(MEMBERS)
        self._asked = Asked()
        self._added_usage = False

    async def run(self) -> None:
        """Serves it, to its end or until the client goes."""
        try:
            own = await self._serve()
        except BaseException as error:
            gone = isinstance(error, Gone)
            self._tracked.end("cancelled" if gone else outcome_of(error))
            raise
        if own is not None:
            self._tracked.end("error")
            await self._parts.own(own, self._tracked.request_id)

    async def _serve(self) -> replies.Own | None:
        """Serves it; what is to be answered in place of the upstream, if anything."""
        parts = self._parts
        names = by_name(parts.scope["headers"])
        try:
            wishes = wishes_of(names)
            body, whole = await parts.inbox.start(MOST_BUFFERED)
            await parts.turns.mine()
            self._read(body)
            self._tracked.labels = self._labels.of(names)
            if wishes.needs_quote:
                own = await self._check(wishes, body if whole else b"")
                if own is not None:
                    return own
            parts.inbox.watch()
            reply = await (self._ask_whole(body) if whole else self._ask(body))
        except ConfigError as error:
            return replies.bad_header(error)
        except Refused as error:
            return replies.refused(error)
        except NotReached as error:
            return replies.no_reply(error)
        self._tracked.begin(self._asked.model)
        async with reply:
            await Relay(parts, self._tracked, keeps_usage=not self._added_usage).run(reply)
        return None

    def _read(self, body: bytes) -> None:
        self._scan.feed(body)
        self._asked = asked_of(self._scan)

    def _lacks_usage(self) -> bool:
        """Whether it is for a stream whose usage the client did not ask for."""
        path: str = self._parts.scope["path"]
        return (
            self._asked.streams
            and not self._asked.wants_usage
            and self._scan.whole
            and path.rstrip("/").endswith("/completions")
        )

    async def _ask_whole(self, body: bytes) -> Reply:
        if self._parts.options.asks_usage and self._lacks_usage():
            self._added_usage = True
            body = with_usage(body, self._scan)
        self._tracked.begin(self._asked.model)
        return await self._parts.ask(readable_coding(self._parts.headers), body)

    async def _ask(self, body: bytes) -> Reply:
        return await self._parts.ask(readable_coding(self._parts.headers), self._rest(body))

    async def _rest(self, body: bytes) -> AsyncIterator[bytes]:
        """A large body as it comes; the upstream has the request once all of it has come."""
        yield body
        async for part in self._parts.inbox.rest():
            self._read(part)
            yield part
        self._tracked.begin(self._asked.model)

    async def _check(self, wishes: Wishes, body: bytes) -> replies.Own | None:
        """Quotes it; what is to be answered if it is not to run.

        Raises:
            ConfigError: it can't be quoted, and nothing else is wanted.
        """
        estimated = wishes.input_tokens is None
        quote = self._quote(wishes, body)
        if wishes.quote_only:
            if quote is None:
                raise ConfigError("body", body[:64], "a JSON object of at most 1 MB, to be quoted")
            return replies.quoted(quote, estimated)
        self._tracked.plan = Plan(budget=wishes.budget, quote=quote)
        try:
            await self._tracked.check(self._asked.model)
        except BudgetExceeded as error:
            return replies.over_budget(error, estimated)
        return None

    def _quote(self, wishes: Wishes, body: bytes) -> Quote | None:
        expected = expected_of(body)
        if expected is None:
            return None
        prompt = expected.input_tokens if wishes.input_tokens is None else wishes.input_tokens
        model = self._asked.model
        if self._parts.scope["path"].rstrip("/").endswith("/embeddings"):
            return self._tracker.quote(model, prompt, output_tokens=0)
        return self._tracker.quote(model, prompt, max_output_tokens=expected.max_output_tokens)
