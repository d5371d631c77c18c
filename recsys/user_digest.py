"""The digest of a user's id, by which a deleted user is recognised in files and logs without a copy of the id."""

from __future__ import annotations

from hashlib import blake2b

from recsys.types import Id

DeletedUsers = dict[bytes, float]
"""When each deleted user was deleted, unix seconds, by the digest of the id."""


def digest_of(user: Id) -> bytes:
    """The digest of an id, 16 bytes. 7 and "7" are one user."""
    return blake2b(str(user).encode("utf-8", "surrogatepass"), digest_size=16).digest()
