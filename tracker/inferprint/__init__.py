"""An itemised energy receipt for every AI request.

::

    import inferprint

    @inferprint.track(model="llama-3-8b", tokens=lambda reply: reply.usage)
    def generate(prompt): ...
"""

from inferprint._config import Config
from inferprint._default import get_tracker, request, set_tracker, track
from inferprint._runtime import Tracker
from inferprint._version import __version__
from inferprint.budget import Budget, Excess
from inferprint.delivery import Exporter
from inferprint.errors import (
    BudgetExceeded,
    BudgetWarning,
    ConfigError,
    InferprintError,
    MissingExtra,
    NotSettled,
    ReadingError,
    SourceError,
    SourceUnavailable,
    TokenError,
)
from inferprint.impacts import Carbon, Cost, Factor
from inferprint.quote import Quote
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import (
    Balance,
    ComponentEnergy,
    Device,
    DeviceBalance,
    Energy,
    MeterBalance,
    Reading,
    Status,
    Tokens,
    WorkEnergy,
)
from inferprint.request import Request, current
from inferprint.sources import PowerSource

__all__ = [
    "Balance",
    "Budget",
    "BudgetExceeded",
    "BudgetWarning",
    "Carbon",
    "ComponentEnergy",
    "Config",
    "ConfigError",
    "Cost",
    "Device",
    "DeviceBalance",
    "Energy",
    "Excess",
    "Exporter",
    "Factor",
    "InferprintError",
    "MeterBalance",
    "MissingExtra",
    "NotSettled",
    "PowerSource",
    "Quote",
    "Range",
    "Reading",
    "ReadingError",
    "Receipt",
    "Request",
    "SourceError",
    "SourceUnavailable",
    "Status",
    "TokenError",
    "Tokens",
    "Tracker",
    "WorkEnergy",
    "__version__",
    "current",
    "get_tracker",
    "request",
    "set_tracker",
    "track",
]
