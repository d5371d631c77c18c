"""One key: how it is made, and what is stored of it.

`tdm_<id>_<secret>`: the id finds the entry, the hash of the whole key decides. A secret has 256 random bits, so one
plain SHA-256 is right: nobody tries them all, and what slows a guess at a person's password would slow each request.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import NamedTuple

SECRET_BYTES = 32

_FORM = re.compile(rb"tdm_([a-z0-9]{4,32})_[\x21-\x7e]{32,128}")

_IN_TEXT = re.compile(r"tdm_[a-z0-9]{4,32}_(?:[0-9a-f]{16}|[^\s/.]{32})")
"""A key, or so much of one that it is better not told; no path of a file called tdm_keys_of_the_shop.toml."""


class GeneratedKey(NamedTuple):
    """A new key. text: what its owner sends, and nobody stores. sha256: in hexadecimal digits, what the file has."""

    id: str
    text: str
    sha256: str


def generate() -> GeneratedKey:
    """A key that nobody has."""
    name = secrets.token_hex(4)
    text = f"tdm_{name}_{secrets.token_hex(SECRET_BYTES)}"
    return GeneratedKey(name, text, digest(text.encode()).hex())


def digest(key: bytes) -> bytes:
    """What is compared, 32 bytes."""
    return sha256(key).digest()


def id_of(key: bytes) -> str:
    """The id in what somebody sent; "" where it has no key's form."""
    found = _FORM.fullmatch(key)
    return found[1].decode() if found else ""


def redacted(text: str) -> str:
    """A text without what begins like a key."""
    return re.sub(r"tdm_\w+", "a key", text)


def appears_in(text: str) -> bool:
    """Whether a text has what looks like a key in it."""
    return bool(_IN_TEXT.search(text))
