"""A receipt for every call that a replica of Ray Serve serves, and what a request cost in all.

::

    @serve.deployment
    class Chat:
        @track_deployment(tokens=lambda reply: reply["usage"])
        async def __call__(self, request): ...

A request that goes from one deployment to another is a receipt in each replica, charged by the
agent of its node. All of them have Serve's id of the request as the label ``serve_request_id``;
``joined`` puts those of one id together.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from inferprint._default import get_tracker
from inferprint.errors import ConfigError
from inferprint.planned import Plan, planned
from inferprint.request import NO_LABELS, Request, own_labels
from inferprint.tracking import P, R, ReadTokens, named, tracked

if TYPE_CHECKING:
    from inferprint.device_names import DeviceName
    from inferprint.receipt import Receipt

__all__ = ["SERVE_REQUEST_ID", "joined", "track_deployment"]

T = TypeVar("T")
Devices: TypeAlias = tuple[str, ...] | None

SERVE_REQUEST_ID = "serve_request_id"
"""The label that the receipts of one request have in common, on whichever nodes."""


def track_deployment(
    *,
    model: str | None = None,
    tokens: ReadTokens | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    devices: Iterable[DeviceName] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that measures every call, with the process-wide tracker of its replica.

    Beneath ``serve.deployment`` on a function, else on each method that is called by HTTP or
    through a handle; on what awaits a ``serve.batch``, and not beneath that. Its requests, and
    those inside them, have the labels ``application``, ``deployment``, ``replica``, ``node``,
    ``serve_request_id`` and, by HTTP, ``route``, unless they are given.

    Args:
        model: the model's name; None: Serve's multiplexed model id, where the request has one,
            else the deployment's name.
        tokens: as for ``inferprint.track``.
        labels: of every request; on receipts, not in metrics.
        devices: as for ``inferprint.track``; None: the GPUs that Ray gave the replica by
            ``num_gpus``, and where that is 0, all that are visible.

    Raises:
        ConfigError: a setting or a device is not usable, the labels are no mapping, or it is on
            something else than a function or method. Of a setting of the replica's, when that
            starts.
    """
    labels, names = own_labels(labels), named(devices)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not inspect.isfunction(function):
            expected = "a function, or the method that serves, such as __call__"
            raise ConfigError("track_deployment", function, expected)
        return tracked(function, _Opening(model, function.__qualname__, labels, names), tokens)

    return decorate


class _Opening:
    """Opens the requests of calls. It is made anew where it is unpickled, in each replica, so that
    a bad setting is told there when it starts, and not under load.
    """

    def __init__(
        self, model: str | None, name: str, labels: Mapping[str, str], devices: Devices
    ) -> None:
        get_tracker()
        self._given = model, name, labels, devices

    def __reduce__(self) -> tuple[type[_Opening], tuple[Any, ...]]:
        return _Opening, self._given

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        model, name, labels, devices = self._given
        tracker = get_tracker()
        if _labels_here not in tracker.context_labels:
            tracker.context_labels += (_labels_here,)
        if model is None:
            model = _model_here() or name
        if devices is None:
            return Request(tracker, model, labels)
        return planned(tracker, model, labels, Plan(devices=devices))


def _guarded(read: Callable[[Any], T], none: T) -> T:
    """What is read from Serve's context, whose names are not public and may change: that is
    counted as a fault, and the call goes on. Where Serve is not in use, there is nothing.
    """
    context = sys.modules.get("ray.serve.context")
    try:
        return none if context is None else read(context)
    except Exception as error:  # noqa: BLE001 - a user's call goes on, whatever Ray has changed
        get_tracker().fault("integration ray_serve", error)
        return none


def _labels_here() -> Mapping[str, str]:
    """Where Serve runs what is being called, and for which request."""
    return _guarded(lambda context: {**_place(context), **_asked(context)}, NO_LABELS)


def _model_here() -> str:
    return _guarded(_model, "")


def _model(context: Any) -> str:
    (asked,) = _common(context, "multiplexed_model_id") or ("",)
    return asked or _place(context).get("deployment", "")


def _asked(context: Any) -> Mapping[str, str]:
    names = {SERVE_REQUEST_ID: "request_id", "route": "route"}
    found = {label: _common(context, name) for label, name in names.items()}
    return {label: values.pop() for label, values in found.items() if any(values)}


def _common(context: Any, name: str) -> set[str]:
    """What Serve tells of a request; of several in a batch, only what is the same of all."""
    alone = context._serve_request_context.get()
    asked = context._serve_batch_request_context.get() or ([] if alone is None else [alone])
    values = {getattr(one, name) for one in asked}
    return values if len(values) == 1 else set()


def _place(context: Any) -> Mapping[str, str]:
    """The replica of this process, if it is one."""
    replica = context._get_internal_replica_context()
    if replica is None:
        return NO_LABELS
    return {
        "application": replica.app_name,
        "deployment": replica.deployment,
        "replica": replica.replica_tag,
        "node": _node(),
    }


@functools.cache
def _node() -> str:
    return str(importlib.import_module("ray").get_runtime_context().get_node_id())


def joined(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """What each of Serve's requests cost, over all deployments and nodes.

    Args:
        receipts: in any order, of any number of nodes; those without the label
            ``serve_request_id`` are left out, and each counts once.

    Returns:
        By Serve's id of the request, the receipt that lasted longest, which is that of the
        deployment that was asked first, as it waits for the others. Theirs are its children:
        ``with_children()`` is the sum. Clocks of nodes differ, so their order is not told.
    """
    hops: dict[str, dict[str, Receipt]] = {}
    inside: set[str] = set()
    for one in receipts:
        if name := one.labels.get(SERVE_REQUEST_ID):
            hops.setdefault(name, {})[one.request_id] = one
            inside.update(_ids_inside(one))
    alone = {
        name: [one for one in found.values() if one.request_id not in inside]
        for name, found in hops.items()
    }
    return {name: _whole(found) for name, found in alone.items() if found}


def _ids_inside(receipt: Receipt) -> Iterator[str]:
    for child in receipt.children:
        yield child.request_id
        yield from _ids_inside(child)


def _whole(hops: Sequence[Receipt]) -> Receipt:
    longest = max(hops, key=lambda one: one.duration_s or 0.0)
    others = (one for one in hops if one is not longest)
    return replace(longest, children=(*longest.children, *others))
