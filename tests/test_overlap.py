"""Overlapping requests on the stand-in GPU, through the real pynvml: receipts against the truth."""

from __future__ import annotations

import pytest

from benchmark_runs import documented, report_of, require_compiler


@pytest.mark.alone
def test_overlapping_requests_are_charged_what_they_used() -> None:
    """Eight requests of known power, half in threads and half in asyncio, are charged what
    each drew, together to 1 %, in the median to 2 % and at worst to 5 %, with a counter that
    steps every 20 ms and with one that steps every 100 ms: of active energy, and of active
    and idle energy together. Each has its receipt within 250 ms of its end.
    """
    require_compiler()
    report = report_of("overlap")
    assert set(report) == {"mixed_20ms", "mixed_100ms"}
    for figures in report.values():
        assert set(figures) == documented("overlap")
        for of in ("", "active_"):
            assert abs(figures[of + "sum_over_truth"] - 1) <= 0.01, report
            assert figures[of + "median_error_percent"] <= 2, report
            assert figures[of + "worst_error_percent"] <= 5, report
        assert figures["settled_after_ms"] <= 250, report
