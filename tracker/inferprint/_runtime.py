"""The tracker: wires sources, sampler, books, receipts and exporters together."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from inferprint import lifetimes
from inferprint._config import Config
from inferprint.clock import Clock, SystemClock, wall_s
from inferprint.delivery import Exporter, Outbox, load_exporters
from inferprint.errors import ConfigError, InferprintError, NotSettled
from inferprint.receipt import Receipt
from inferprint.records import Balance, Status, Tokens
from inferprint.request import NO_LABELS, Request, own_labels
from inferprint.sources import PowerSource
from inferprint.tracking import Expects, P, Planning, R, ReadTokens, decorator, named

if TYPE_CHECKING:
    from types import TracebackType

    from inferprint.budget import Budget, OnExceed
    from inferprint.device_names import DeviceName
    from inferprint.factors import Factors
    from inferprint.front import Front
    from inferprint.intensity import Intensity
    from inferprint.planned import Plan
    from inferprint.quote import Quote
    from inferprint.sources.findings import Finding

T = TypeVar("T")

log = logging.getLogger("inferprint")

# How long a start waits for the first readings, and a stop for the last windows to close.
START_S = 10.0
STOP_S = 0.5


class Tracker:
    """Measures what requests use, from its start to its stop.

    It is a context manager. It can be started by several users and stops with the last.

    Args:
        config: the settings; None: from the environment and the defaults.
        sources: where joules come from; None: what this machine has, or the settings' agent.
        exporters: where receipts go, beside those that the settings name.
        clock: a clock that is moved by hand; then no thread runs, and ``sample`` is to be
            called. None: the system's clock and a thread.
        intensity: the grid's carbon intensity over time; None: what the settings name.

    Raises:
        ConfigError: a setting is not usable, or the file at ``learned_path`` is not.
        SourceUnavailable: a source that the settings name is not there.
        MissingExtra: an exporter that the settings name is not installed.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        sources: Sequence[PowerSource] | None = None,
        exporters: Iterable[Exporter] = (),
        clock: Clock | None = None,
        intensity: Intensity | None = None,
    ) -> None:
        if not isinstance(config, Config | None):
            raise ConfigError("config", config, "an inferprint.Config")
        self.config = config or Config()
        # Imported here, as the engine is: not all users of the package have a tracker.
        from inferprint.factors import resolve
        from inferprint.intensity import Constant, open_intensity

        self._agent = self.config.agent if sources is None and clock is None else None
        self._factors = resolve(self.config)
        if self._agent is not None:  # which tells what energy means
            intensity = Constant(self._factors.carbon_intensity)
        self._intensity = intensity or open_intensity(self.config, self._factors.carbon_intensity)
        self._is_constant = isinstance(self._intensity, Constant)
        # Where it changes and is not known for an hour, no figure of the year takes its place.
        always = self._intensity.over(0, 0).factor if self._is_constant else None
        self._factors = replace(self._factors, carbon_intensity=always)
        self.findings: Sequence[Finding] = ()
        self._given_exporters = _checked("exporters", exporters, Exporter, "name, start, export")
        self._exporters = [*load_exporters(self.config), *self._given_exporters]
        self._sources: Sequence[PowerSource] | None = None
        if sources is not None:
            self._sources = _checked("sources", sources, PowerSource, "devices, read")
        elif self.config.sources is not None and self._agent is None:
            self._sources = self._detect()
        self._learned = None if self._agent else _load_learned(self.config)
        self._manual = clock is not None
        self._clock: Clock = clock or SystemClock()
        self._users = 0
        self._stopped = False
        self._renew()
        lifetimes.known.add(self)

    def _renew(self) -> None:
        self._engine: Front = self._front()
        self._starting = threading.Lock()
        self._ready = threading.Event()
        self._setup_errors: list[InferprintError] = []
        # What a request looks at on its path.
        self.running = False
        self.now_ns = self._clock.now_ns
        self.events = self._engine.events
        self.tell: Callable[[Request], None] = self.events.append
        self.told: Callable[[Request], None] = self._engine.told.append
        self.reads_cpu = False
        # Labels from around a request, such as its trace: whoever uses them adds to it.
        self.context_labels: tuple[Callable[[], Mapping[str, str]], ...] = ()

    def _front(self) -> Front:
        # Imported here: half of the package's import time, and not of all its users.
        if self._agent is not None:
            from inferprint.agent.link import Link

            return Link(self.config, self._factors, self._agent)
        from inferprint.engine import Engine

        return Engine(self.config, self._factors, self._clock, self._learned, self._intensity)

    @property
    def factors(self) -> Factors:
        """What energy and time mean here and now: grid, site, hardware and prices."""
        factors = self._engine.factors
        if self._is_constant:
            return factors
        now_s = wall_s(self._clock, self._clock.now_ns())
        return replace(factors, carbon_intensity=self._intensity.over(now_s, now_s).factor)

    # ---- start and stop ------------------------------------------------------------------

    def start(self) -> Tracker:
        """Starts measuring, when this is the first user of it.

        Waits for the first readings, which takes milliseconds on most machines. Requests
        also start it, without waiting.

        Raises:
            InferprintError: it was stopped: make another.
            ConfigError: an exporter can't start, for a reason that it names.
        """
        with self._starting:
            if self._stopped:
                raise InferprintError("a tracker that was stopped can't start again: make another")
            self._users += 1
        self.revive()
        if not self._ready.wait(START_S):
            log.warning("the power sources have not answered for %g s: going on", START_S)
        outboxes = self._engine.outboxes
        errors = [*self._setup_errors, *(outbox.started(START_S) for outbox in outboxes)]
        for error in filter(None, errors):
            self.stop()
            raise error
        return self

    def stop(self) -> None:
        """Stops measuring, when this is its last user: settles what has ended, hands it
        over, and ends the threads. Requests still go through after it, unmeasured.
        """
        with self._starting:
            self._users = max(0, self._users - 1)
            if self._users or self._stopped:
                return
            self._stopped = True
        engine = self._engine
        if not engine.end(0.0 if self._manual else STOP_S):
            self.fault("tracker", TimeoutError("a source hangs: stopping without it"))
        if self.config.learned_path is not None and engine.has_learned:
            self._attempt("learned_path", partial(self.save, self.config.learned_path))
        self.tell = self.told = _ignore
        for outbox in engine.outboxes:
            outbox.close()
        self._intensity.close()
        lifetimes.known.discard(self)

    def __enter__(self) -> Tracker:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def revive(self) -> None:
        """Starts measuring if it is not, without waiting and without ever raising: at the
        first request, or in the child of a fork.
        """
        with self._starting:
            if self.running or self._stopped:
                return
            self.running = True
        lifetimes.begin()
        if self._manual:
            self._set_up()
            return
        try:
            self._engine.start(self._set_up)
        except RuntimeError as error:
            self.fault("tracker", error)
            self.tell = self.told = _ignore
            self._ready.set()

    def _set_up(self) -> None:
        """Opens sources, books and exporters; in the sampler's thread, if there is one."""
        engine = self._engine
        self._attempt("calibration", partial(engine.open, self._found, not self._manual))
        self.reads_cpu = engine.reads_cpu
        self._attempt("carbon_intensity_source", self._intensity.start)
        for exporter in self._exporters:
            self._attempt(f"exporter {exporter.name}", partial(self._add, exporter))
        self._ready.set()

    def _found(self) -> Sequence[PowerSource] | None:
        if self._sources is not None:
            return self._sources
        return self._attempt("detection", self._detect)

    def _add(self, exporter: Exporter) -> Outbox:
        outbox = Outbox(exporter, self.fault)
        self._engine.outboxes.append(outbox)
        outbox.open(partial(exporter.start, self), threaded=not self._manual)
        return outbox

    def add_exporter(self, exporter: Exporter) -> None:
        """Hands receipts to one more exporter, from the next that settles until the stop.

        Args:
            exporter: as for the constructor.

        Raises:
            ConfigError: it is no exporter, or can't start, for a reason that it names.
            InferprintError: the tracker was stopped.
        """
        (checked,) = _checked("exporter", [exporter], Exporter, "name, start, export")
        with self._starting:
            if self._stopped:
                raise InferprintError("a tracker that was stopped takes no exporter: make another")
            self._given_exporters.append(checked)
            if not self.running:
                self._exporters.append(checked)
                return
        self._ready.wait(START_S)
        self._exporters.append(checked)
        outbox = self._attempt(f"exporter {checked.name}", partial(self._add, checked))
        if outbox is not None and (error := outbox.started(START_S)) is not None:
            raise error

    def _attempt(self, what: str, call: Callable[[], T]) -> T | None:
        """What a call gives; None where it fails: a request may be what started it."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - counted, and raised by an explicit start
            self.fault(what, error)
            self._setup_errors += [error] if isinstance(error, InferprintError) else []
            return None

    def _detect(self) -> Sequence[PowerSource]:
        # Imported here: a tracker that is given its sources does not need what finds them.
        from inferprint.sources.detect import detect

        found = detect(self.config)
        self.findings = found.findings
        return found.sources

    def _end(self) -> None:
        """Stops it, whoever uses it: the process ends."""
        self._users = 0
        self.stop()

    def _after_fork(self) -> None:
        """In the child: it begins anew with the next request; what is in flight is the
        parent's.
        """
        self._engine.abandon()
        self._renew()
        for exporter in self._exporters:
            renew = getattr(exporter, "after_fork", lambda: None)
            self._attempt(f"exporter {exporter.name}", renew)
        named = self._attempt("exporters", partial(load_exporters, self.config))
        self._exporters = [*(named or ()), *self._given_exporters]

    # ---- requests ------------------------------------------------------------------------

    def request(
        self, model: str = "", *, labels: Mapping[str, str] = NO_LABELS, **plan: Unpack[Plan]
    ) -> Request:
        """A request, to be entered with ``with`` or ``async with``.

        Args:
            model: the model's name.
            labels: what else to tell it by; on receipts, not in metrics.
            **plan: what is expected of it before it runs. ``quote``: a Quote, which its
                receipt is compared with; if there is none, one is made of ``input_tokens``,
                ``cached_input_tokens`` and ``output_tokens`` or ``max_output_tokens``.
                ``budget``: a Budget, which the quote is checked against on entering it, and
                what it has used whenever it tells of tokens. ``on_exceed``: ``raise`` (the
                default), ``warn``, or a function that gets an Excess and returns whether to
                go on, called at most once before the run and once while it runs.
                ``devices``: those that it runs on, in place of all that are read: ids, GPU
                numbers or components, as on docs/devices.md; no other GPU has a part in it.

        Raises:
            ConfigError: the labels are no mapping, or something told of it is not usable.
        """
        own = labels if labels is NO_LABELS else own_labels(labels)
        name = model if type(model) is str else str(model)
        if plan:
            from inferprint.planned import planned

            return planned(self, name, own, plan)
        return Request(self, name, own)

    def quote(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int | None = None,
        max_output_tokens: int | None = None,
        cached_input_tokens: int = 0,
    ) -> Quote:
        """What a request would use if it started now: energy, time, carbon, cost, each with an
        interval of 90 %.

        It reads what was known when the last windows closed; no device is asked, and nothing is
        waited for.

        Args:
            model: the model's name, as requests are made with.
            input_tokens: prompt tokens, the cached ones included.
            output_tokens: output tokens, where they are known beforehand.
            max_output_tokens: output tokens at most; the usual length is then expected.
            cached_input_tokens: the part of the prompt that comes from a cache.

        Returns:
            The quote; its figures are None, and it says why, while nothing is known.

        Raises:
            ConfigError: a count is not usable, or not exactly one of ``output_tokens`` and
                ``max_output_tokens`` is given.
        """
        from inferprint.quotation import asked, quote_of

        request = asked(model, input_tokens, output_tokens, max_output_tokens, cached_input_tokens)
        return quote_of(self._engine.outlook(), request, self.factors, self.config.idle_policy)

    def track(
        self,
        *,
        model: str | None = None,
        tokens: ReadTokens | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        budget: Budget | None = None,
        on_exceed: OnExceed = "raise",
        expects: Expects | None = None,
        devices: Iterable[DeviceName] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator like ``inferprint.track``, for this tracker."""
        planning = Planning(budget, on_exceed, expects, named(devices))
        return decorator(lambda: self, model, tokens, labels, planning)

    def hosted(
        self,
        *,
        provider: str,
        model: str,
        output_tokens: int | None,
        latency_s: float,
        input_tokens: int | None = None,
        location: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> Receipt:
        """The receipt of a call to a model that runs elsewhere, as EcoLogits estimates it.

        It goes to the exporters like any other, without waiting for them, and is flagged
        ``hosted``; it is in no balance, and in no total of what was measured.

        Args:
            provider: who serves it, as EcoLogits names it, such as ``openai`` or ``mistralai``.
            model: the model's name, as the provider's API takes it.
            output_tokens: as the reply told; None: it did not.
            latency_s: seconds from the call to the end of its reply.
            input_tokens: as the reply told; on the receipt, and in no figure of EcoLogits.
            location: a country or a cloud region that it ran in. None: where EcoLogits takes
                the provider to be.
            labels: what else to tell it by; on the receipt, not in metrics.

        Returns:
            The receipt; where the provider, the model or the location is not known, its figures
            are None and its ``reason`` says why: a name never makes this raise.

        Raises:
            MissingExtra: EcoLogits is not installed.
            ConfigError: a count is not one, the latency is not above 0 and at most 31 days, or
                the labels are no mapping.
        """
        from inferprint.integrations.ecologits import Call, receipt_of

        told = Tokens(input_tokens, None, output_tokens)
        call = Call(str(provider), str(model), told, latency_s, location, dict(own_labels(labels)))
        started_at = datetime.fromtimestamp(wall_s(self._clock, self.now_ns()) - latency_s, UTC)
        receipt = receipt_of(call, self.new_id(), started_at, self.config.idle_policy)
        self.revive()
        if self.tell is not _ignore:
            self._engine.made.append(receipt)
        return receipt

    def new_id(self) -> str:
        """A request id that no process has given before."""
        return self._engine.new_id()

    def fault(self, where: str, error: BaseException) -> None:
        """Counts a fault that was kept from a request, and logs the first of its kind."""
        self._engine.faults.fault(where, error)

    def estimate(self, request: Request) -> Receipt:
        """A provisional receipt of a request, or the settled one if there is one."""
        return self._engine.estimate(request)

    def receipt(self, request: Request, timeout: float) -> Receipt:
        """The settled receipt of a request.

        Raises:
            NotSettled: it was not settled in ``timeout`` seconds.
        """
        engine = self._engine
        if not request._settled and not self._manual and self.tell is not _ignore:
            engine.wait_for(lambda: request._settled, timeout)
        if not request._settled:
            raise NotSettled(self._why_not_settled(request, timeout))
        return engine.receipt(request)

    async def settled(self, request: Request, timeout: float) -> Receipt:
        """The settled receipt of a request, awaited; errors as for ``receipt``."""
        import asyncio  # 60 ms, and for those alone who have it already

        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell_loop() -> None:
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:  # the loop was closed: nobody waits any more
                return

        self._engine.when_settled(request, tell_loop)
        try:
            await asyncio.wait_for(done.wait(), 0.0 if self.tell is _ignore else timeout)
        except TimeoutError:
            raise NotSettled(self._why_not_settled(request, timeout)) from None
        return self._engine.receipt(request)

    def _why_not_settled(self, request: Request, timeout: float) -> str:
        if request.outcome is None:
            return f"request {request.request_id} has not ended"
        if self.tell is _ignore:
            return f"request {request.request_id}: its tracker was stopped, or could not start"
        if self._manual:
            return f"request {request.request_id}: call sample() after its end"
        return f"request {request.request_id} was not settled within {timeout:g} s"

    def feedback(self, request_id: str, useful: bool = False) -> bool:
        """Tells the exporters whether what a request gave was of use; what is not counts as
        wasted in reports, beside what failed. Nothing is waited for.

        Args:
            request_id: of a request, at any time after it began.
            useful: whether it was; may be told again, differently.

        Returns:
            Whether there is an exporter that takes it, such as ``store``, and it has started;
            else nothing keeps it.

        Raises:
            ConfigError: the id is no text, or ``useful`` is not True or False.
        """
        if not isinstance(request_id, str) or not request_id:
            raise ConfigError("request_id", request_id, "the id of a request, as on its receipt")
        if not isinstance(useful, bool):
            raise ConfigError("useful", useful, "True or False")
        return self._engine.feedback(request_id, useful)

    # ---- books ---------------------------------------------------------------------------

    def sample(self) -> None:
        """Reads every source once and closes a window of every device; for a tracker with
        a clock of its own.
        """
        self.revive()
        self._engine.sample(alone=self._manual)

    def flush(self, timeout: float = 2.0) -> bool:
        """Settles all requests that have ended, and hands them to the exporters.

        Args:
            timeout: seconds to wait for it. What is not settled then is settled with what
                is known of it.

        Returns:
            Whether all was settled and handed over in time.
        """
        if self._manual:
            self.sample()
        asked_ns = self.now_ns()
        in_time = self._engine.settle_all(0.0 if self._manual else timeout)
        if self._manual:
            self._engine.give_up(sys.maxsize)
        elif not in_time:
            self._engine.give_up(asked_ns)
        handed_over = [outbox.flush(timeout) for outbox in self._engine.outboxes]
        return in_time and all(handed_over)

    def balance(self) -> Balance:
        """The books of the devices, up to the last window of each."""
        return self._engine.balance()

    def requests_in_flight(self) -> list[Request]:
        """The requests that have started and not ended, the oldest first. ``estimate()`` tells
        what each has used so far.
        """
        return self._engine.requests_in_flight()

    def save(self, path: str) -> None:
        """Saves what was learned: what work costs on each device, each model's pace, and how
        far quotes were off. ``learned_path`` loads it. Learning goes on as before.

        Args:
            path: the file; one that is there is replaced.

        Raises:
            ConfigError: it can't be written there.
        """
        from inferprint.saved import write

        state = self._engine.state()
        try:
            write(path, state)
        except OSError as error:
            expected = f"a file in a folder that this user can write to ({error})"
            raise ConfigError("path", path, expected, f"mkdir -p {_folder(path)}") from error

    def status(self) -> Status:
        """What the tracker says of itself."""
        return self._engine.status()


def _load_learned(config: Config) -> Mapping[str, Any] | None:
    if config.learned_path is None:
        return None
    from inferprint.saved import read

    folder = _folder(config.learned_path)
    if not os.path.isdir(folder):
        expected = "a file in a folder that is there, to be saved to"
        raise ConfigError("learned_path", config.learned_path, expected, f"mkdir -p {folder}")
    return read(config.learned_path)


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _ignore(_request: Request) -> None:
    """What a stopped tracker does with what requests tell."""


def _checked(field: str, given: Iterable[T], kind: Any, has: str) -> list[T]:
    expected = f"a list of objects with {has} and close (inferprint.{kind.__name__})"
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(field, given, expected)
    found = list(given)
    for one in found:
        if isinstance(one, type) or not isinstance(one, kind):
            raise ConfigError(field, one, expected)
    return found
