"""The format of an API key (`tdm_<id>_<secret>`), the making of a random key, and the hash that is stored in its place.

The id finds the key's entry in the file of keys, and then the hash of the whole key is compared. A secret has 256
random bits, so one plain SHA-256 is enough: it can't be guessed, and a slow password hash would slow each request.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import NamedTuple

SECRET_BYTES = 32

_FORM = re.compile(rb"tdm_([a-z0-9]{4,32})_[\x21-\x7e]{32,128}")

_IN_TEXT = re.compile(r"tdm_[a-z0-9]{4,32}_(?:[0-9a-f]{16}|[^\s/.]{32})")
"""A key, or a large part of one. A path of a file such as tdm_keys_of_the_shop.toml does not match."""


class GeneratedKey(NamedTuple):
    """A new key. text: the key itself, which is never stored. sha256: its hash in hexadecimal digits, for the file."""

    id: str
    text: str
    sha256: str


def generate() -> GeneratedKey:
    """A new random key."""
    name = secrets.token_hex(4)
    text = f"tdm_{name}_{secrets.token_hex(SECRET_BYTES)}"
    return GeneratedKey(name, text, digest(text.encode()).hex())


def digest(key: bytes) -> bytes:
    """The hash of a key, 32 bytes."""
    return sha256(key).digest()


def id_of(key: bytes) -> str:
    """The id in a presented key; "" if it has not the format of a key."""
    found = _FORM.fullmatch(key)
    return found[1].decode() if found else ""


def redacted(text: str) -> str:
    """The text with each word that begins like a key replaced."""
    return re.sub(r"tdm_\w+", "a key", text)


def appears_in(text: str) -> bool:
    """Whether a text contains a key or a large part of one."""
    return bool(_IN_TEXT.search(text))
