"""Requests on a tracker driven by hand, whose power is affine in the tokens that they compute."""

from __future__ import annotations

from contextvars import Context

from inferprint import Request
from rig import Rig

IDLE_W = 100.0
FIXED_W = 200.0
TOKEN_J = 0.5
WINDOW_S = 0.1


class Served:
    """A server on a rig: any request running draws 200 W, each output token takes 0.5 J.

    Args:
        rig: made with ``IDLE_W`` as its idle power.
        model: the requests' model.
    """

    def __init__(self, rig: Rig, model: str = "m") -> None:
        self.rig, self.model = rig, model
        self.running: dict[Request, int] = {}
        self._contexts: dict[Request, Context] = {}

    def start(self, rate: int = 2, model: str | None = None) -> Request:
        """A request of ``rate`` tokens a window; in a context of its own, so nobody's child."""
        context, request = Context(), self.rig.tracker.request(model or self.model)
        context.run(request.__enter__)
        self.running[request], self._contexts[request] = rate, context
        return request

    def end(self, request: Request | None = None) -> Request:
        """Ends a request, the oldest if none is given."""
        request = request or next(iter(self.running))
        del self.running[request]
        self._contexts.pop(request).run(request.__exit__, None, None, None)
        return request

    def to(self, running: int) -> None:
        """Starts or ends requests until so many run."""
        while len(self.running) < running:
            self.start()
        while len(self.running) > running:
            self.end()

    def run(self, windows: int) -> None:
        """Serves for some windows, and reads the meter at the end of each."""
        for _ in range(windows):
            fixed_w = FIXED_W if self.running else 0.0
            own_w = TOKEN_J * sum(self.running.values()) / WINDOW_S
            self.rig.source.set_power(IDLE_W + fixed_w + own_w)
            self.rig.clock.advance(WINDOW_S)
            for request, rate in self.running.items():
                if rate:
                    request.add_tokens(output=rate)
            self.rig.tracker.sample()

    def warm_up(self) -> None:
        """Serves one to eight requests in turn, until what work costs is known."""
        for _ in range(4):
            for _ in range(8):
                self.start()
                self.run(5)
            while self.running:
                self.end()
                self.run(5)
