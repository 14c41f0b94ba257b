"""Records go over the wire and come back as they were."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Config
from inferprint.agent import plain
from inferprint.factors import Factors, equipped, resolve
from inferprint.items import Part
from inferprint.learning.crowd import Crowd
from inferprint.learning.record import Spread, Usual
from inferprint.learning.work import Work
from inferprint.outlook import DeviceOutlook, Found, ModelOutlook, Outlook
from inferprint.records import Balance, Device, DeviceBalance, MeterBalance
from inferprint.settlement import Settlement
from inferprint.stakes import Earned
from inferprint.uncertainty import Doubt, ItemDoubts, WorkPart
from strategies import policies, provenances

GPU = Device("GPU-1", "gpu", "NVIDIA H100 80GB HBM3", step_s=0.1, flags=frozenset({"mig_shared"}))
CPU = Device("cpu:0", "cpu", "a CPU", idle_w=7.0, relative_error=0.85, capacity=64.0)
DEVICES = [GPU, CPU]
PLACES = {device.id: place for place, device in enumerate(DEVICES)}

joules = st.floats(-1e9, 1e9)
texts = st.frozensets(st.text(max_size=5), max_size=3)
doubts = st.builds(Doubt, joules, joules)
parts = st.builds(
    Part,
    st.sampled_from(DEVICES),
    st.builds(Earned, joules, joules, joules),
    provenances,
    texts,
    st.builds(ItemDoubts, doubts, doubts, doubts, doubts),
    st.none() | st.builds(WorkPart, joules, joules, joules, doubts, doubts, doubts),
)
settlements = st.builds(
    Settlement,
    st.lists(parts, max_size=3).map(tuple),
    texts,
    policies,
    st.text(max_size=5),
    st.just(()),
    st.none() | joules,
)


def sent(value: Any) -> Any:
    """What comes out at the other end."""
    return msgpack.unpackb(msgpack.packb(value), raw=False, strict_map_key=True)


@given(settlements)
def test_a_settlement(settled: Settlement) -> None:
    """To the last bit of every figure, so that a worker's receipt is the agent's."""
    there = sent(plain.settlement_to_plain(settled, [], PLACES))
    back = plain.settlement_from_plain(there, DEVICES, settled.idle_policy, ())
    assert back == settled


def test_devices() -> None:
    """With all that is declared of them."""
    back = [plain.device_from_plain(sent(plain.device_to_plain(one))) for one in DEVICES]
    assert back == DEVICES


def test_factors() -> None:
    """Those of tables, of settings and of the hardware, with their sources."""
    config = Config(
        location="FRA",
        pue="upper",
        wue_l_per_kwh=0.3,
        electricity_price=0.2,
        hardware_price_per_hour=3.0,
        currency="EUR",
        training_energy_kwh=1e6,
        training_requests=1e9,
    )
    factors = equipped(resolve(config), DEVICES, config)
    for one in (factors, Factors()):
        back = plain.factors_from_plain(sent(plain.factors_to_plain(one)))
        assert back == one
        assert back.rates == one.rates
    (factor, *_) = factors.as_tuple()
    assert plain.factor_from_plain(sent(plain.factor_to_plain(factor))) == factor
    assert plain.factor_from_plain(sent(plain.factor_to_plain(None))) is None


def test_the_books() -> None:
    """Every term of every device."""
    books = DeviceBalance("gpu", "H100", "measured", 9.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, power_w=5.0)
    meter = MeterBalance("BMC", "measured", 20.0, 9.0, 4.0)
    balance = Balance({"GPU-1": books}, {"wall:ipmi": meter})
    assert plain.balance_from_plain(sent(plain.balance_to_plain(balance))) == balance


def test_an_outlook() -> None:
    """What a quote is made of."""
    found = Found(Spread(0.5, 1.0, 2.0), Spread(0.9, 1.0, 1.1))
    outlook = Outlook(
        Crowd(3, 2.5, 1.5, 60.0, 0.5),
        (DeviceOutlook(GPU, 100.0, {"m": Work(0.1, 0.2, 0.3)}, None, 1.0),),
        {"m": ModelOutlook(1000.0, 5.0, None, Usual(30.0, None), found, found)},
    )
    back = plain.outlook_from_plain(sent(plain.outlook_to_plain(outlook, PLACES)), DEVICES)
    assert back == outlook
