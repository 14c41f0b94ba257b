"""A worker of the agent: begins and ends requests as the lines on its input say.

``begin N`` and ``end N`` are answered when it is done, with the instant of the monotonic clock;
``flush`` prints the receipts as one JSON object by N: joules, and milliseconds from a request's end
to its receipt. Its one argument is the agent's socket.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from inferprint import Config, Request, Tracker

WAIT_S = 10.0


def main(path: str) -> None:
    requests: dict[str, Request] = {}
    waiting: list[threading.Thread] = []
    receipts: dict[str, dict[str, Any]] = {}

    def note(name: str, request: Request) -> None:
        receipt = request.receipt(timeout=WAIT_S)
        total_j = receipt.energy.total_j
        receipts[name] = {
            "total_j": None if total_j is None else float(total_j),
            "settled_ms": (time.monotonic_ns() - request._ended_ns) / 1e6,
        }

    with Tracker(Config(agent=path)) as tracker:
        print("ready", flush=True)
        for line in sys.stdin:
            what, _, name = line.strip().partition(" ")
            if what == "begin":
                requests[name] = tracker.request("m")
                requests[name]._begin(owns_thread=False, detached=True)
            elif what == "end":
                requests[name]._end("ok")
                waiting.append(threading.Thread(target=note, args=(name, requests[name])))
                waiting[-1].start()
            else:
                for thread in waiting:
                    thread.join()
                print(json.dumps(receipts), flush=True)
                continue
            print(time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
