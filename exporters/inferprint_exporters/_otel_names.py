"""Every name that the OpenTelemetry exporter sends.

Of devices they are those of the semantic conventions for hardware metrics (``hw.*``, development
status). Of requests they are our own, since the conventions for generative AI (``gen_ai.*``), which
still move, have no energy; what they have is sent under their names.
"""

from __future__ import annotations

__all__: list[str] = []

SCOPE = "inferprint"

# Devices.
HW_ENERGY, HW_POWER = "hw.energy", "hw.power"
HW_ID, HW_NAME, HW_TYPE = "hw.id", "hw.name", "hw.type"
HW_TYPES = {"cpu": "cpu", "dram": "memory", "gpu": "gpu"}
PROVENANCE = "inferprint.provenance"

# Requests: metrics.
REQUEST_ENERGY = "inferprint.request.energy"
REQUEST_DURATION = "inferprint.request.duration"
ENERGY = "inferprint.energy"
TOKENS = "inferprint.tokens"
CARBON = "inferprint.carbon"
WATER = "inferprint.water"
COST = "inferprint.cost"
HOSTED_ENERGY = "inferprint.hosted.energy"

# Requests: attributes of metrics and spans.
MODEL = "gen_ai.request.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
ERROR_TYPE = "error.type"
OUTCOME = "inferprint.outcome"
PHASE = "inferprint.phase"
COMPONENT = "inferprint.component"
CURRENCY = "inferprint.currency"
REQUEST_ID = "inferprint.request.id"
METHOD = "inferprint.attribution.method"
IDLE_POLICY = "inferprint.idle.policy"
FLAGS = "inferprint.flags"
LABEL = "inferprint.label."
TOTAL_J, TOTAL_LOW_J, TOTAL_HIGH_J = (
    f"inferprint.energy.{part}" for part in ("total", "total.low", "total.high")
)
ACTIVE_J, IDLE_J, STANDING_J, OVERHEAD_J = (
    f"inferprint.energy.{part}" for part in ("active", "idle", "standing", "overhead")
)
CARBON_G, WATER_L, COST_AMOUNT = (
    "inferprint.carbon.grams",
    "inferprint.water.liters",
    "inferprint.cost.amount",
)
TIME_TO_FIRST_TOKEN_S = "inferprint.time_to_first_token"  # noqa: S105 - no secret
SPAN = "inferprint.request"
