"""What was learned, as a file: so that a restart does not start cold.

One JSON object, versioned, written whole or not at all.
"""

from __future__ import annotations

import copy
import json
import math
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, NoReturn, TypeVar

from inferprint.errors import ConfigError
from inferprint.learning.crowd import Crowd
from inferprint.learning.model import WorkModel
from inferprint.learning.pace import Pace
from inferprint.learning.record import Record
from inferprint.learning.usual import Ratio
from inferprint.learning.work import Work
from inferprint.outlook import NOTHING_KNOWN, DeviceOutlook, Outlook, model_outlook
from inferprint.records import Device

FORMAT = "inferprint-learned"
VERSION = 2

_BAD = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)

T = TypeVar("T")


class SavedDevice(NamedTuple):
    """One device: which, what work costs on it, and watts at the load of the latest seconds.

    Args:
        device: which.
        work: what work costs on it; None: that is not learned there.
        own_w, busy_w: watts of requests' own work, and all active watts, while any ran.
    """

    device: Device
    work: WorkModel | None
    own_w: Ratio
    busy_w: Ratio


@dataclass(slots=True)
class Saved:
    """What a file holds.

    Args:
        devices: those that were read.
        paces, records: by model.
        outlook: what was known when it was saved, at the load and idle power of then.
        idle_policy: who paid for idle energy in it.
        saved_at: wall time, ISO 8601.
    """

    devices: Sequence[SavedDevice] = ()
    paces: dict[str, Pace] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    outlook: Outlook = NOTHING_KNOWN
    idle_policy: str = "amortised"
    saved_at: str = ""

    def of(self, device: Device) -> SavedDevice | None:
        """A copy of what was saved of this device, or else of another of the same name."""
        same = [saved for saved in self.devices if saved.device.name == device.name]
        own = [saved for saved in same if saved.device.id == device.id]
        return copy.deepcopy(next(iter(own or same), None))


def to_plain(saved: Saved) -> dict[str, Any]:
    """What is written."""
    outlook = saved.outlook
    return {
        "format": FORMAT,
        "version": VERSION,
        "saved_at": saved.saved_at,
        "idle_policy": saved.idle_policy,
        "devices": [_device(device) for device in saved.devices],
        "models": {
            model: {"pace": pace.state(), "record": saved.records[model].state()}
            for model, pace in saved.paces.items()
            if model in saved.records
        },
        "outlook": {
            "crowd": outlook.crowd._asdict(),
            "devices": [
                {
                    "id": device.device.id,
                    "shared_w": device.shared_w,
                    "price_j": device.price_j,
                    "idle_w": device.idle_w,
                    "standing_j": device.standing_j,
                }
                for device in outlook.devices
            ],
        },
    }


def _device(saved: SavedDevice) -> dict[str, Any]:
    device = saved.device
    return {
        "id": device.id,
        "component": device.component,
        "name": device.name,
        "relative_error": device.relative_error,
        "work": None if saved.work is None else saved.work.state(),
        "own_w": saved.own_w.state(),
        "busy_w": saved.busy_w.state(),
    }


def write(path: str, plain: Mapping[str, Any]) -> None:
    """Writes what ``to_plain`` gave, in place of a file that is there, whole or not at all.

    Raises:
        OSError: it can't be written there.
    """
    target = Path(path)
    text = json.dumps(plain, allow_nan=False)
    with NamedTemporaryFile(
        "w", dir=target.parent, prefix=f".{target.name}.", encoding="utf-8", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def read(path: str, setting: str = "learned_path") -> Mapping[str, Any] | None:
    """What ``from_plain`` takes, of a file; None where there is none.

    Args:
        path: the file.
        setting: what named it, for errors.

    Raises:
        ConfigError: it can't be read, or is not one of these; names the field in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _refuse(path, setting, str(error))
    try:
        plain = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except ValueError as error:
        _refuse(path, setting, f"no JSON: {error}")
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        _refuse(path, setting, f"its field 'format' is not {FORMAT!r}")
    if plain.get("version") != VERSION:
        _refuse(path, setting, f"its field 'version' is {plain.get('version')!r}, not {VERSION}")
    try:
        from_plain(plain)
    except _FieldError as error:
        _refuse(path, setting, str(error))
    return plain


def _refuse(path: str, setting: str, why: str) -> NoReturn:
    mend = f"Delete the file to start anew: rm {path}"
    raise ConfigError(setting, path, f"a file that Tracker.save wrote, but {why}", mend) from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


class _FieldError(Exception):
    """A field that does not hold what it should."""


def from_plain(plain: Mapping[str, Any]) -> Saved:
    """What was written.

    Raises:
        _FieldError: a field does not hold what it should; names it.
    """
    devices = [
        _take(f"devices[{i}]", one, _saved_device) for i, one in enumerate(_items(plain, "devices"))
    ]
    models = _take("models", plain.get("models"), lambda value: {**value})
    paces = {
        name: _take(f"models[{name!r}].pace", one, lambda one: Pace.from_state(one["pace"]))
        for name, one in models.items()
    }
    records = {
        name: _take(f"models[{name!r}].record", one, lambda one: Record.from_state(one["record"]))
        for name, one in models.items()
    }
    saved = Saved(devices, paces, records)
    saved.saved_at = _take("saved_at", plain.get("saved_at"), str)
    saved.idle_policy = _take("idle_policy", plain.get("idle_policy"), str)
    saved.outlook = _take("outlook", plain.get("outlook"), lambda one: _outlook(one, saved))
    return saved


def _items(plain: Mapping[str, Any], name: str) -> list[Any]:
    return _take(name, plain.get(name), lambda value: [*value])


def _take(where: str, value: Any, make: Callable[[Any], T]) -> T:
    try:
        if value is None:
            raise ValueError("it is missing")
        return make(value)
    except _BAD as error:
        kind = type(error).__name__
        raise _FieldError(
            f"its field {where!r} holds {reprlib.repr(value)} ({kind}: {error})"
        ) from error


def _saved_device(plain: Mapping[str, Any]) -> SavedDevice:
    device = Device(
        str(plain["id"]),
        plain["component"],
        str(plain["name"]),
        relative_error=float(plain["relative_error"]),
    )
    work = plain["work"]
    model = None if work is None else WorkModel.from_state(work)
    own_w, busy_w = Ratio.from_state(plain["own_w"]), Ratio.from_state(plain["busy_w"])
    return SavedDevice(device, model, own_w, busy_w)


def _outlook(plain: Mapping[str, Any], saved: Saved) -> Outlook:
    known = {one.device.id: one.device for one in saved.devices}
    devices = tuple(
        DeviceOutlook(
            known[one["id"]],
            _number(one["shared_w"]),
            {model: Work(*map(float, price)) for model, price in one["price_j"].items()},
            _number(one["idle_w"]),
            float(one["standing_j"]),
        )
        for one in plain["devices"]
    )
    models = {m: model_outlook(pace, saved.records[m]) for m, pace in saved.paces.items()}
    crowd = plain["crowd"]
    means = (float(crowd[name]) for name in Crowd._fields[1:])
    return Outlook(Crowd(int(crowd["running"]), *means), devices, models)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
