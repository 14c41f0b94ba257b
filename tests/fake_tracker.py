"""A tracker whose books and status are set by hand, for tests of exporters."""

from __future__ import annotations

from inferprint import Config
from inferprint.factors import Factors
from inferprint.impacts import Factor
from inferprint.records import Balance, DeviceBalance, MeterBalance, Status
from inferprint.sources.findings import Finding


class FakeTracker:
    """What exporters ask of a tracker: ``balance()``, ``status()`` and ``factors``."""

    def __init__(self) -> None:
        self.factors = Factors()
        self.devices: dict[str, DeviceBalance] = {}
        self.meters: dict[str, MeterBalance] = {}
        self.in_flight: dict[str, int] = {}
        self.source_errors: dict[tuple[str, str], int] = {}
        self.dropped_receipts: dict[str, int] = {}
        self.self_cpu_s = 0.0
        self.reading_age_s: dict[str, float] = {}
        self.findings: tuple[Finding, ...] = ()
        self.config = Config()

    def balance(self) -> Balance:
        """The books as they were set."""
        return Balance(dict(self.devices), dict(self.meters))

    def status(self) -> Status:
        """The status as it was set."""
        return Status(
            dict(self.in_flight),
            dict(self.source_errors),
            dict(self.dropped_receipts),
            self.self_cpu_s,
            dict(self.reading_age_s),
        )


def gpu_books(
    measured_j: float = 1000.0, power_w: float | None = 300.0, idle_w: float | None = None
) -> DeviceBalance:
    """The books of a GPU, a tenth of whose energy is standing, other's and unexplained each."""
    tenth = measured_j / 10
    return DeviceBalance(
        component="gpu",
        name="fake gpu",
        provenance="measured",
        measured_j=measured_j,
        requests_active_j=6 * tenth,
        requests_idle_j=tenth,
        requests_standing_j=0.0,
        standing_j=tenth,
        other_processes_j=tenth,
        unattributed_j=tenth,
        standing_total_j=tenth,
        power_w=power_w,
        idle_w=idle_w,
    )


def grid_intensity() -> Factors:
    """Factors that hold a carbon intensity alone."""
    factor = Factor("grid_carbon_intensity", 56.039, "gCO2e/kWh", "a table", "FRA", 2023)
    return Factors(carbon_intensity=factor)
