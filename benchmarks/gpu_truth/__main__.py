"""What batched requests use on this machine's GPU, beside what their receipts say.

python -m benchmarks.gpu_truth [--quick] [--size 1b] [--json] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu_truth.board import NotHere
from benchmarks.gpu_truth.model import SIZES
from benchmarks.gpu_truth.page import page
from benchmarks.gpu_truth.plan import FOUR, SIX, TINY, Plan, orders_for
from benchmarks.gpu_truth.run import Report, Setting, on_cpu, on_gpu

LACKS = 3
"""Exit code: this machine lacks what is needed."""

RESULTS = Path(__file__).resolve().parents[1] / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it, prints the page or the JSON, and writes both; gives the exit code."""
    args = _arguments(argv)
    setting = rehearsal() if args.cpu_rehearsal else setting_of(args)
    try:
        found = (on_cpu if args.cpu_rehearsal else on_gpu)(setting, _tell)
    except NotHere as reason:
        print(f"gpu_truth: {reason}", file=sys.stderr)
        return LACKS
    report = {"date": f"{datetime.now(UTC):%Y-%m-%d}", **found}
    out = args.out or (None if args.cpu_rehearsal else RESULTS)
    if out is not None:
        write(report, out)
    print(json.dumps(report, allow_nan=False) if args.json else page(report))
    return 0


def setting_of(args: argparse.Namespace) -> Setting:
    """What the arguments ask for."""
    players, draws = (FOUR, 2) if args.quick else (SIX, 3)
    sampled = args.permutations
    orders = orders_for(players, sampled)
    plan = Plan(players, orders, sampled=sampled is not None, draws=args.draws or draws)
    if args.quick:
        return Setting(plan, args.size, args.attention, idle_s=3.0, tight_s=2.0, calls=200)
    return Setting(plan, args.size, args.attention)


def rehearsal() -> Setting:
    """Short enough for a test, on the smallest model."""
    plan = Plan(
        TINY,
        orders_for(TINY, None),
        draws=2,
        least_s=0.2,
        offset_s=0.05,
        settle_s=0.1,
        quiet_s=0.2,
    )
    return Setting(plan, "tiny", idle_s=0.3, tight_s=1.0, calls=50)


def write(report: Report, folder: Path) -> None:
    """The JSON and the page, named by date and board."""
    folder.mkdir(parents=True, exist_ok=True)
    board = re.sub(r"[^a-z0-9]+", "-", str(report["board"]["name"]).lower()).strip("-")
    name = f"gpu_truth-{report['date']}-{board}" + ("-rehearsal" if report["rehearsal"] else "")
    (folder / f"{name}.json").write_text(json.dumps(report, allow_nan=False, indent=1) + "\n")
    (folder / f"{name}.md").write_text(page(report))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_truth", description=__doc__)
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object")
    add("--quick", action="store_true", help="four requests, each coalition twice")
    add("--size", choices=[size for size in SIZES if size != "tiny"], default="1b")
    add("--attention", default="sdpa", help="as transformers names it (default: sdpa)")
    add("--permutations", type=_count(1), help="sample so many orders of arrival (default: all)")
    add("--draws", type=_count(2), help="measurements of each coalition, 2 or more")
    add("--out", type=Path, help="folder of the results (default: benchmarks/results)")
    add(
        "--cpu-rehearsal",
        action="store_true",
        help="the whole path on the CPU: tells nothing of a GPU",
    )
    return parser.parse_args(argv)


def _count(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: expected {least} or more")
        return int(text)

    return whole


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
