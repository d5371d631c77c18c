"""Search of users by the beginning of their id, and what one user did, for the Explorer.

The store has no index of ids: users are chosen from a sample of the live generation's, and by the exact id.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from recsys.slates.served_generation import ServedGeneration
from recsys.store.stored_types import SAMPLED_HASHES
from recsys.types import Id
from service import schema
from service.explorer.explorer_models import FoundUser, FoundUsers, SearchRequest, UserHistory
from service.verbs.users import UserVerbs

SHOWN_EVENTS = 50
"""Events of a history that an answer has."""


async def find(
    request: SearchRequest, users: UserVerbs, live: ServedGeneration, permit: Callable[[BaseModel], object]
) -> FoundUsers:
    """Users whose id begins with the text, the exact id first. permit: raises QueryError for a user of another tenant.

    A key of one tenant has to send the beginning of that tenant's ids: then all that is found is the tenant's.
    """
    permit(schema.UserRequest.model_construct(user_id=request.q))
    sample = await users.sample(live)
    others = sorted(user for user in sample if user.startswith(request.q) and user != request.q)
    step = max(1, len(others) // request.limit)  # spread over the ids
    chosen = [*([request.q] if request.q else []), *others[::step]][: request.limit + 1]
    found = [_found(user) for user in await users.show_all(chosen, live)]
    known = [user for user in found if user.history or user.events]
    complete = live.manifest.user_buckets <= SAMPLED_HASHES
    return FoundUsers(users=known[: request.limit], sampled=len(sample), complete=complete)


async def history(user_id: Id, users: UserVerbs, live: ServedGeneration) -> UserHistory:
    """What is stored about a user, the newest SHOWN_EVENTS events first."""
    stored = await users.show(user_id, live)
    events = sorted([*stored.history, *stored.events], key=lambda event: -event.timestamp)
    return UserHistory(
        user_id=user_id,
        known=stored.known,
        total=len(events),
        newest=events[:SHOWN_EVENTS],
        seen=stored.seen,
        listed=stored.listed,
        listed_at=stored.listed_at,
    )


def _found(user: schema.UserResponse) -> FoundUser:
    return FoundUser(user_id=user.user_id, history=len(user.history), events=len(user.events))
