"""The flags that a receipt can carry: what a careful reader of it should know."""

from __future__ import annotations

IDLE_UNKNOWN = "idle_unknown"
IDLE_MODELLED = "idle_modelled"
SHORT = "short"
GAP = "gap"
COUNTER_RESET = "counter_reset"
MISSING_READING = "missing_reading"
TOKENS_UNREADABLE = "tokens_unreadable"
TOKENS_COUNTED = "tokens_counted"
MIG_SHARED = "mig_shared"
DEVICE_SHARED = "device_shared"
PROVISIONAL = "provisional"
PUE_UNKNOWN = "pue_unknown"
PUE_UPPER = "pue_upper"
GRID_UNKNOWN = "grid_unknown"
INTENSITY_STALE = "intensity_stale"
OVER_BUDGET = "over_budget"
BUDGET_UNCHECKED = "budget_unchecked"
HOSTED = "hosted"
MODEL_UNDISCLOSED = "model_undisclosed"
MODEL_MULTIMODAL = "model_multimodal"
TOLD_LATE = "told_late"
AGENT_LOST = "agent_lost"

MEANING: dict[str, str] = {
    IDLE_UNKNOWN: (
        "no idle stretch had been seen when it ran, so active and idle energy are one sum"
    ),
    IDLE_MODELLED: "idle power came from a table of GPU models, because none had been seen yet",
    SHORT: "shorter than the windows of a device: it shares the windows that it touched",
    GAP: "the host slept or the process was stopped while it ran: that time is not charged",
    COUNTER_RESET: (
        "a counter went back or jumped while it ran: the energy of that window is not known"
    ),
    MISSING_READING: "a device could not be read for a part of it or all of it",
    TOKENS_UNREADABLE: "the tokens= function failed or gave something that holds no counts",
    TOKENS_COUNTED: (
        "its output tokens are the pieces that its stream came in: the server told no counts"
    ),
    MIG_SHARED: "a GPU is split by MIG and its meter counts the whole board",
    DEVICE_SHARED: (
        "another tracker of this host reads the same GPU, so each of the two charges its idle "
        "energy, and active energy where the driver does not tell processes apart"
    ),
    PROVISIONAL: "an estimate: its last windows have not closed yet",
    OVER_BUDGET: "it used more than the budget that it was given, or was expected to",
    BUDGET_UNCHECKED: (
        "nothing was known to check its budget by: not before it ran, or not in the budget's unit"
    ),
    PUE_UNKNOWN: "what energy means is of the devices alone, without the site's overhead",
    GRID_UNKNOWN: (
        "carbon, materials or primary energy is of making the hardware alone, without the "
        "electricity: nothing is known of the grid"
    ),
    HOSTED: "a call to a model that runs elsewhere: an estimate, in no total of what was measured",
    MODEL_UNDISCLOSED: (
        "the maker has not said how large the model is: the estimate is from a guess of its size"
    ),
    MODEL_MULTIMODAL: "the model takes more than text, and the estimate is for text alone",
    TOLD_LATE: (
        "the host's agent was told of its start or end after its windows had closed: it shares "
        "later ones"
    ),
    AGENT_LOST: (
        "the host's agent was not reached for a part of its time or all of it: what it used then "
        "is not known"
    ),
    INTENSITY_STALE: (
        "no newer carbon intensity of the grid was to be had for its time: the latest one stands "
        "for it, or none where that is more than a day too old"
    ),
    PUE_UPPER: "the site's overhead is an upper bound for its area, not a figure of the site",
}
