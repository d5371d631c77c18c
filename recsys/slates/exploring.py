"""Whether a slate explores, and the seed of its draws: both are a hash of experiment, user, surface and time.

A user who loads a page again within STEADY_SECONDS gets the same draw, and `/explain` makes the same slate.
"""

from __future__ import annotations

from hashlib import blake2b

from recsys.rules.exploration import DrawPolicy
from recsys.slates.query import Query

STEADY_SECONDS = 300.0
"""Seconds in which a user's requests of a surface have the same random numbers."""


def draw_policy(query: Query) -> DrawPolicy | None:
    """How the slate of a query is drawn; None if the slate does not explore.

    Lists, slates without the ranker's scores, and the items that a request names are not drawn.
    """
    found = query.assigned.explore
    if found is None or query.given is not None or not query.is_ranked:
        return None
    experiment, explore = found
    window = int(query.now // STEADY_SECONDS)
    text = "\0".join((experiment, str(query.user_id), query.surface, str(window)))
    hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"tandem explore").digest()
    coin, seed = int.from_bytes(hashed[:8], "big"), int.from_bytes(hashed[8:], "big")
    if (coin >> 11) / (1 << 53) >= explore.slates:  # a double has 53 bits
        return None
    return DrawPolicy(explore.temperature, explore.uncertain, explore.fewer_than, seed)
