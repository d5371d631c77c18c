"""Keep deleted users out of a training: a user who is deleted while a training runs must not return with its model."""

from __future__ import annotations

from flows.forgetting.deleted_users import forget_in_generation
from flows.orchestration import store_step
from recsys.generation.manifest import GenerationFolder
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.user_digest import DeletedUsers


class Deletions:
    """The deletions of users before and during one training. before: read when the training began."""

    def __init__(self, store: RedisFlowStore) -> None:
        self.store = store
        noted = store.read_deleted_users()
        self.known = {user.entry for user in noted}
        # Events of a merged visitor stay in the log of a shop: they are the login's.
        self.before: DeletedUsers = {user.digest: user.at for user in noted if not user.merged}


@store_step
def forget_later(deletions: Deletions, generation: GenerationFolder) -> None:
    """Remove the users who were deleted since from a generation, and from its copy in the store."""
    noted = [user for user in deletions.store.read_deleted_users() if user.entry not in deletions.known]
    if noted:
        forget_in_generation(deletions.store, generation, {user.digest: user.at for user in noted})
