"""The connections of an agent's workers: one thread that never waits for any of them."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from inferprint.agent.frames import BadFrame, frame
from inferprint.agent.messages import (
    ASK,
    BALANCE,
    BATCH,
    FEEDBACK,
    MOST_CHARACTERS,
    NEWS,
    OUTLOOK,
    REFUSED,
    SETTLED,
    VERSION,
    WELCOME,
    check_hello,
    read_batch,
)
from inferprint.agent.peer import MOST_UNSENT, Peer
from inferprint.agent.plain import (
    balance_to_plain,
    device_to_plain,
    factors_to_plain,
    outlook_to_plain,
)
from inferprint.sources import kin
from inferprint.units import NS_PER_S

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.agent.intake import Intake
    from inferprint.agent.own_cpu import WorkersCpu
    from inferprint.engine import Engine

THREAD_NAME = "inferprint-agent"
MOST_PEERS: Final = 4096
"""Workers that may be connected; more are refused."""
MOST_UNSENT_ALL: Final = 64 << 20
"""Bytes that wait for workers that do not read, all together."""
GREET_NS: Final = 5 * NS_PER_S
"""A connection that says nothing for so long is closed."""
# A worker with requests in flight is to be heard of so often, or less with many of them: so many
# frames a second take a tenth of a core.
BEAT_NS = 40 * NS_PER_S // 1000
MOST_BEATS_PER_S = 5000
SETTLED_AT_ONCE = 200
READ_BYTES = 1 << 16
HOUSEKEEPING_NS = NS_PER_S
FACTORS_EVERY_NS = 60 * NS_PER_S
CATCH_UP_S = 0.005


class Connections:
    """Accepts workers, hears them, and sends them what was settled.

    Args:
        listening: the socket that they connect to; closed at the end.
        tracker: the agent's.
        cpu: takes the workers' CPU time.

    Attributes:
        intake: takes what they tell; to be set before the start.
    """

    intake: Intake

    def __init__(self, listening: socket.socket, tracker: Tracker, cpu: WorkersCpu) -> None:
        self._listening, self._tracker, self._cpu = listening, tracker, cpu
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for sock in (self._woken, self._waker):
            sock.setblocking(False)
        self._asleep = True
        self._stopping = False
        self._greeting: set[Peer] = set()
        # Workers that do not take what they are sent.
        self._blocked: set[Peer] = set()
        self._factors: Any = None
        self._housekept_ns = self._factors_ns = 0
        self._thread: threading.Thread | None = None

    # ---- its thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to accept."""
        ledgers = cast("Engine", self._tracker._engine).books.ledgers
        self.intake.places = {device_id: place for place, device_id in enumerate(ledgers)}
        self._devices = [device_to_plain(ledger.device) for ledger in ledgers.values()]
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends what is settled, and closes all."""
        self._stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
        for sock in (self._listening, self._woken, self._waker):
            sock.close()
        self._selector.close()

    def wake(self) -> None:
        """There is something to send; from any thread."""
        if self._asleep:
            self._asleep = False
            with suppress(OSError):
                self._waker.send(b"\0")

    def _run(self) -> None:
        while not self._stopping:
            self._turn(timeout_s=1.0)
            self.intake.cpu_s = time.thread_time()
        for peer in [*self.intake.peers.values()]:
            self._send(peer)
            self._close(peer)
        for peer in [*self._greeting]:
            self._close(peer)

    def _turn(self, timeout_s: float) -> None:
        if self.intake.full:
            self.intake.count("agent", "busy")
            time.sleep(CATCH_UP_S)
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._woken:
                self._send_all()
            else:
                self._serve(key.data, mask)
        now_ns = time.monotonic_ns()
        if now_ns - self._housekept_ns >= HOUSEKEEPING_NS:
            self._housekept_ns = now_ns
            self._keep_house(now_ns)

    def _send_all(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(READ_BYTES)
        self._asleep = True
        for peer in [*self.intake.peers.values()]:
            if peer.settled:
                self._send(peer)

    def _keep_house(self, now_ns: int) -> None:
        for peer in [one for one in self._greeting if now_ns - one.came_ns > GREET_NS]:
            self._refuse(peer, "no greeting came within 5 s")
        if now_ns - self._factors_ns >= FACTORS_EVERY_NS:
            self._factors_ns = now_ns
            if self._factors != (known := factors_to_plain(self._tracker.factors)):
                self._factors = known
                for peer in self.intake.peers.values():
                    self._put(peer, self._welcome())

    # ---- one connection --------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError:  # it is gone again, or there is no file descriptor left
            self.intake.count("agent", "failed accept")
            time.sleep(CATCH_UP_S)
            return
        sock.setblocking(False)
        peer = Peer(sock, time.monotonic_ns())
        self._greeting.add(peer)
        self._selector.register(sock, selectors.EVENT_READ, peer)
        if len(self.intake.peers) + len(self._greeting) > MOST_PEERS:
            self._refuse(peer, f"{MOST_PEERS} workers are connected already")

    def _serve(self, peer: Peer, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._send(peer)
            if mask & selectors.EVENT_READ and not peer.closed:
                self._read(peer)
        except Exception as error:  # noqa: BLE001 - a fault of ours may not end the other connections
            self._tracker.fault("agent", error)
            self._close(peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        now_ns = time.monotonic_ns()
        try:
            for message in peer.reader.feed(data):
                self._hear(peer, message, now_ns)
        except BadFrame as error:
            self._refuse(peer, str(error))

    def _hear(self, peer: Peer, message: Any, now_ns: int) -> None:
        if not peer.prefix:
            self._greet(peer, message, now_ns)
            return
        kind = message[0] if isinstance(message, list) and message else None
        if kind == BATCH:
            batch = read_batch(message, now_ns)
            self.intake.take(peer, batch, now_ns)
            self._cpu.take(peer, batch.cpu_ns)
            self._send(peer)
        elif kind == ASK and len(message) == 2:
            self._answer(peer, message[1])
        elif kind == FEEDBACK and len(message) == 3:
            self._feedback(peer, *message[1:])
        else:
            raise BadFrame("a message of no kind that is known")

    def _greet(self, peer: Peer, message: Any, now_ns: int) -> None:
        prefix = check_hello(message)
        if abs(message[3] - now_ns) > GREET_NS:
            raise BadFrame(
                "its clock is not this host's: a worker in a time namespace can't be measured"
            )
        if prefix in {one.prefix for one in self.intake.peers.values()}:
            raise BadFrame("another worker has the same prefix of request ids")
        peer.prefix = prefix
        self._greeting.discard(peer)
        kin.join(peer.pid)
        self._factors = self._factors or factors_to_plain(self._tracker.factors)
        self._put(peer, self._welcome())
        self.intake.peers = {**self.intake.peers, peer.sock.fileno(): peer}

    def _welcome(self) -> list[Any]:
        tracker = self._tracker
        policy = tracker.config.idle_policy
        said = [self._beat_ns(), tracker.reads_cpu, policy, self._devices, self._factors]
        return [WELCOME, VERSION, said]

    def _beat_ns(self) -> int:
        return max(BEAT_NS, len(self.intake.peers) * NS_PER_S // MOST_BEATS_PER_S)

    def _answer(self, peer: Peer, what: Any) -> None:
        if what == BALANCE:
            self._put(peer, [BALANCE, balance_to_plain(self.intake.balance)])
        elif what == OUTLOOK:
            outlook = self._tracker._engine.outlook()
            self._put(peer, [OUTLOOK, outlook_to_plain(outlook, self.intake.places)])
        else:
            raise BadFrame("a question that is not known")

    def _feedback(self, peer: Peer, request_id: Any, useful: Any) -> None:
        # Of its own requests alone: no worker can say what another's were worth.
        own = isinstance(request_id, str) and request_id.startswith(f"{peer.prefix}-")
        if not own or len(request_id) > MOST_CHARACTERS or not isinstance(useful, bool):
            raise BadFrame("feedback on no request of its own")
        self._tracker.feedback(request_id, useful)

    # ---- sending ---------------------------------------------------------------------------

    def _send(self, peer: Peer) -> None:
        """Sends what was settled, the latest news, and what did not go before."""
        if peer.closed:
            return
        while peer.settled and len(peer.unsent) < MOST_UNSENT:
            count = min(len(peer.settled), SETTLED_AT_ONCE)
            self._put(peer, [SETTLED, [peer.settled.popleft() for _ in range(count)]])
        news = self.intake.news
        if news is not None and news.at_ns > peer.news_ns and not peer.unsent:
            peer.news_ns = news.at_ns
            self._put(peer, [NEWS, news, self._beat_ns()])
        self._flush(peer)

    def _put(self, peer: Peer, message: list[Any]) -> None:
        all_unsent = sum(len(one.unsent) for one in self._blocked)
        if len(peer.unsent) > MOST_UNSENT or all_unsent > MOST_UNSENT_ALL:
            self.intake.count("agent", "dropped message")
            return
        peer.unsent += frame(message)
        self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        if peer.closed:
            return
        try:
            while peer.unsent:
                del peer.unsent[: peer.sock.send(memoryview(peer.unsent)[:READ_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            self._close(peer)
            return
        self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        """Asks to be told when a worker can be sent more, while it can't."""
        if bool(peer.unsent) == (peer in self._blocked):
            return
        events = selectors.EVENT_READ
        if peer.unsent:
            self._blocked.add(peer)
            events |= selectors.EVENT_WRITE
        else:
            self._blocked.discard(peer)
        self._selector.modify(peer.sock, events, peer)

    def _refuse(self, peer: Peer, why: str) -> None:
        self.intake.count("agent", "refused worker" if not peer.prefix else "bad frame")
        self._put(peer, [REFUSED, why])
        self._close(peer)

    def _close(self, peer: Peer) -> None:
        if peer.closed:
            return
        peer.closed = True
        self._greeting.discard(peer)
        self._blocked.discard(peer)
        if peer.prefix:
            kin.leave(peer.pid)
            others = {one: known for one, known in self.intake.peers.items() if known is not peer}
            self.intake.peers = others
            self.intake.lost(peer)
        with suppress(KeyError, ValueError):
            self._selector.unregister(peer.sock)
        peer.sock.close()
