"""The position of a user for a salt: a hash that never changes, so that a user keeps the arm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from recsys.types import F64, Id


def position(salt: str, user: Id) -> float:
    """The position of a user: uniform in [0, 1) over users, independent between salts. 7 and "7" are one user."""
    hashed = _hash_of(salt).copy()
    hashed.update(str(user).encode("utf-8", "surrogatepass"))
    return (int.from_bytes(hashed.digest(), "big") >> 11) / (1 << 53)  # a double has 53 bits


@lru_cache(256)
def _hash_of(salt: str) -> blake2b:
    return blake2b(digest_size=8, key=blake2b(salt.encode("utf-8"), digest_size=16).digest())


def positions(salt: str, users: Sequence[Id]) -> F64:
    """The positions of users, [n]."""
    return np.fromiter((position(salt, user) for user in users), np.float64, len(users))
