"""Forks, as a preloading server makes them: whatever another thread held, the child measures.

Each runs in a process of its own, so that the one that runs the tests is never forked.
"""

from __future__ import annotations

import pytest

from support import run_python

PRELUDE = """
import gc, logging, os, signal, sys, threading, time, traceback, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
sys.path.insert(0, "tests")
import inferprint
from inferprint import Tracker
from rig import Kept, SteadySource


def fork(work):
    "Runs it in a child, which is ended if it hangs; waits for it, and fails if it failed."
    sys.stdout.flush()
    child = os.fork()
    if not child:
        signal.alarm(10)
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    return child


def join(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"


def serve(tracker):
    "One request from its start to its receipt."
    with tracker.request("m") as request:
        time.sleep(0.15)
    receipt = request.receipt(timeout=30.0)
    assert receipt.energy.total_j.mid > 0.0
    assert receipt.outcome == "ok"
    assert tracker.status().in_flight == {}
    assert tracker.balance().closure_error < 1e-9
    return receipt


class held:
    "Another thread holds the lock for as long as the block lasts."

    def __init__(self, lock):
        self.lock, self.is_held, self.done = lock, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self):
        with self.lock:
            self.is_held.set()
            self.done.wait()

    def __enter__(self):
        self.thread.start()
        self.is_held.wait()

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def sampler_threads():
    return [thread.name for thread in threading.enumerate() if "sampler" in thread.name]

"""


def run(script: str) -> str:
    """What the script prints; it must end well, and say nothing on stderr."""
    result = run_python("-c", PRELUDE + script)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "lock",
    [
        "tracker._engine.lock",
        "tracker._starting",
        "tracker._engine.faults._counting",
        "tracker._engine.outboxes[0]._changed",
    ],
)
def test_a_lock_that_is_held_at_the_fork_is_renewed(lock: str) -> None:
    """The child has the lock of a thread that it does not have, and serves all the same."""
    run(f"""
kept = Kept()
tracker = Tracker(sources=[SteadySource()], exporters=[kept]).start()
serve(tracker)
assert tracker.flush()
before = len(kept.receipts)

def child():
    assert sampler_threads() == []
    serve(tracker)
    assert tracker.flush()
    assert len(kept.receipts) == before + 1
    logging.disable()
    tracker.fault("tokens", ValueError())
    assert tracker.status().source_errors == {{("tokens", "ValueError"): 1}}
    tracker.stop()

with held({lock}):
    pid = fork(child)
join(pid)
serve(tracker)
tracker.stop()
""")


def test_a_tracker_that_is_just_starting_at_the_fork_is_renewed() -> None:
    """Also one that no request has used yet, as an application makes it when it is loaded."""
    run("""
tracker = Tracker(sources=[SteadySource()])
with held(tracker._starting):
    pid = fork(lambda: serve(tracker))
join(pid)
serve(tracker)
tracker.stop()
""")


def test_the_process_wide_tracker_can_be_made_in_the_child() -> None:
    """Though a thread of the parent was making it at the fork."""
    run("""
def child():
    serve(inferprint.get_tracker())

os.environ["INFERPRINT_SOURCES"] = "cpu_model"
with held(inferprint._default._making):
    pid = fork(child)
join(pid)
""")


def test_a_request_that_forks_is_the_parents() -> None:
    """The child leaves it without a trace; in the parent it is settled as if nothing was."""
    run("""
tracker = Tracker(sources=[SteadySource()]).start()

def child():
    request.add_tokens(output=1)
    request.__exit__(None, None, None)
    assert inferprint.current() is None
    serve(tracker)
    assert tracker.status().in_flight == {}
    (books,) = tracker.balance().devices.values()
    assert books.requests_active_j <= books.measured_j

for pause_s in (0.0, 0.15):  # before the sampler has heard of it, and after
    with tracker.request("outer") as request:
        time.sleep(pause_s)
        with tracker.request("inner"):
            join(fork(child))
    receipt = request.receipt()
    assert receipt.tokens.output is None
    assert [child.model for child in receipt.children] == ["inner"]
tracker.stop()
""")


def test_a_child_inside_a_request_is_not_its_child() -> None:
    """What a worker does is not paid for by the request in which it was forked."""
    run("""
tracker = Tracker(sources=[SteadySource()])

def child():
    assert inferprint.current() is None
    serve(tracker)

with tracker.request("outer") as request:
    join(fork(child))
assert request.receipt().children == ()
tracker.stop()
""")


def test_forks_under_load_end_well() -> None:
    """Children of every moment, in the middle of a settlement too, serve; nobody complains."""
    run("""
tracker = Tracker(sources=[SteadySource()], exporters=[Kept()]).start()
over = threading.Event()

def load():
    while not over.is_set():
        for _ in range(200):
            with tracker.request("load"):
                pass
        time.sleep(0.001)

threads = [threading.Thread(target=load) for _ in range(2)]
for thread in threads:
    thread.start()
children = []
for _ in range(8):
    time.sleep(0.013)
    children.append(fork(lambda: serve(tracker)))
over.set()
for thread in threads:
    thread.join()
for child in children:
    join(child)
serve(tracker)
tracker.stop()
""")


def test_a_settlement_that_is_half_done_at_the_fork_is_dropped() -> None:
    """The parent's sampler holds the books in the middle of it; the child does not complain."""
    run("""
tracker = Tracker(inferprint.Config(sample_interval_s=60.0), sources=[SteadySource()]).start()
engine, begun, done = tracker._engine, threading.Event(), threading.Event()
for _ in range(3):
    with tracker.request("m"):
        pass

def settle():
    engine._job = engine._process(all_told=True)
    next(engine._job)
    begun.set()
    done.wait()
    for _ in engine._job:
        pass

def child():
    gc.collect()
    with tracker.request("m") as request:
        time.sleep(0.01)
    assert not tracker.flush(timeout=0.1)
    assert request.receipt().outcome == "ok"

thread = threading.Thread(target=settle)
thread.start()
begun.wait()
pid = fork(child)
done.set()
thread.join()
join(pid)
tracker.stop()
""")


@pytest.mark.parametrize("started", [False, True])
def test_workers_of_a_preloading_server_count_their_own(started: bool) -> None:
    """The application is loaded once and forked: each worker has its own thread and books,
    and the parent's are as they were.
    """
    out = run(f"""
kept = Kept()
tracker = Tracker(sources=[SteadySource()], exporters=[kept])
inferprint.set_tracker(tracker)

@inferprint.track(model="app", tokens=len)
def application(prompt):
    time.sleep(0.01)
    return prompt

if {started}:
    application("warm-up")
    assert tracker.flush()

def worker(count):
    before = len(kept.receipts)
    for _ in range(count):
        application("hello")
    assert tracker.flush()
    assert sampler_threads() == ["inferprint-sampler"]
    print(len(kept.receipts) - before, sum(r.tokens.output for r in kept.receipts[before:]))
    tracker.stop()

for count in (2, 3):
    join(fork(lambda: worker(count)))
assert len(kept.receipts) == {int(started)}
assert len(sampler_threads()) == {int(started)}
assert tracker.status().in_flight == {{}}
tracker.stop()
""")
    assert out == "2 10\n3 15\n"


def test_a_worker_that_exits_hands_over_what_has_ended() -> None:
    """A worker that ends as Python does, without a stop, loses no receipt."""
    out = run("""
class Prints(Kept):
    def close(self):
        print(os.getpid() == parent, [receipt.model for receipt in self.receipts], flush=True)

parent = os.getpid()
tracker = Tracker(sources=[SteadySource()], exporters=[Prints()]).start()
child = os.fork()
if not child:
    with tracker.request("in the child"):
        time.sleep(0.01)
    sys.exit(0)
join(child)
""")
    assert out == "False ['in the child']\nTrue []\n"


def test_receipts_come_back_from_a_pool_of_processes() -> None:
    """A pool of forked processes measures in each, and can send receipts to its parent."""
    run("""
import multiprocessing

tracker = Tracker(sources=[SteadySource()]).start()
serve(tracker)

def work(number):
    return serve(tracker)

with multiprocessing.get_context("fork").Pool(2) as pool:
    receipts = pool.map(work, range(4))
assert len({receipt.request_id for receipt in receipts}) == 4
tracker.stop()
""")


def test_exporters_are_told_of_the_fork() -> None:
    """``after_fork`` is called in the child before ``start``; one that raises is counted."""
    out = run("""
class Told(Kept):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def start(self, tracker):
        os.write(1, f"{self.name} starts\\n".encode())  # in one piece: each has a thread

    def after_fork(self):
        os.write(1, f"{self.name} is told\\n".encode())
        if self.name == "a":
            raise OSError("closed")

logging.disable()
tracker = Tracker(sources=[SteadySource()], exporters=[Told("a"), Told("b")]).start()

def child():
    os.write(1, b"forked\\n")
    tracker.start()
    serve(tracker)
    assert tracker.status().source_errors == {("exporter a", "OSError"): 1}

join(fork(child))
tracker.stop()
""")
    assert sorted(out.split("forked")[0].splitlines()) == sorted(
        ["a starts", "b starts", "a is told", "b is told"]
    )
    assert sorted(out.split("forked\n")[1].splitlines()) == ["a starts", "b starts"]


def test_the_metrics_of_a_child_are_its_own() -> None:
    """With the Prometheus exporter by name, child and parent serve what each has counted."""
    out = run("""
import urllib.request

def requests_served(tracker):
    (exporter,) = [box.exporter for box in tracker._engine.outboxes]
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    name = "inferprint_request_duration_seconds_count"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

config = inferprint.Config(exporters=("prometheus",), prometheus_port=0)
tracker = Tracker(config, sources=[SteadySource()]).start()
serve(tracker)
serve(tracker)

def child():
    serve(tracker)
    assert tracker.flush()
    print(requests_served(tracker))
    tracker.stop()

join(fork(child))
assert tracker.flush()
print(requests_served(tracker))
tracker.stop()
""")
    assert out == "1.0\n2.0\n"
