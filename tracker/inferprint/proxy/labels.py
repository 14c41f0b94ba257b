"""Who a request was for: labels from headers that the operator names, capped, hashed if asked."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping

from inferprint._config import environment_variable
from inferprint.errors import ConfigError
from inferprint.tracing import trace_labels

__all__ = ["KEY_VARIABLE", "Labels"]

KEY_VARIABLE = "INFERPRINT_LABEL_KEY"
"""The environment variable of the key that label values are hashed with."""

OTHER = "other"
MOST_CHARACTERS = 128
_DIGEST_BYTES = 8
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Labels:
    """Reads the labels of requests.

    Args:
        headers: the header that each label is read from, by the label's name.
        hashed: the labels of which only a keyed hash is kept.
        most_values: distinct values of each; what is past it is ``other``.

    Raises:
        ConfigError: a name is none, or what is to be hashed is no label.
    """

    def __init__(
        self, headers: Mapping[str, str], hashed: Collection[str] = (), most_values: int = 100
    ) -> None:
        for name, header in headers.items():
            if not _NAME.fullmatch(name) or not _HEADER.fullmatch(header):
                given = f"{name}={header}"
                raise ConfigError("label", given, "NAME=HEADER, such as tenant=x-tenant")
        for name in hashed:
            if name not in headers:
                raise ConfigError("hash_label", name, f"one of {sorted(headers)}")
        self._headers = {name: header.lower().encode() for name, header in headers.items()}
        self._hashed = frozenset(hashed)
        self._most_values = most_values
        self._known: dict[str, set[str]] = {name: set() for name in headers}
        given_key = (environment_variable(KEY_VARIABLE) or "").encode()
        self._key = hashlib.sha256(given_key).digest() if given_key else secrets.token_bytes(32)

    def of(self, headers: Mapping[bytes, bytes]) -> dict[str, str]:
        """The labels of a request with these headers; those that it has none for are left out.

        The ids of its trace are among them, if it is a part of one.
        """
        given = {name: headers.get(header) for name, header in self._headers.items()}
        labels = {name: self._capped(name, value) for name, value in given.items() if value}
        parent = headers.get(b"traceparent")
        return labels if parent is None else {**trace_labels(parent), **labels}

    def _capped(self, name: str, given: bytes) -> str:
        if name in self._hashed:
            value = hashlib.blake2b(given, digest_size=_DIGEST_BYTES, key=self._key).hexdigest()
        else:
            value = _printable(given)
        known = self._known[name]
        if value not in known and len(known) >= self._most_values:
            return OTHER
        known.add(value)
        return value


def _printable(given: bytes) -> str:
    text = given.decode("utf-8", "replace")[:MOST_CHARACTERS]
    return "".join(character if character.isprintable() else "?" for character in text)
