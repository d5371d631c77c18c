"""Keep deleted users out of a training: a user who is deleted while a training runs must not return with its model."""

from __future__ import annotations

from flows.forgetting.deleted_users import forget_in_generation
from recsys.generation.manifest import GenerationFolder
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.user_digest import DeletedUsers


class Deletions:
    """The deletions of users before and during one training. before: read when the training began."""

    def __init__(self, store: RedisFlowStore) -> None:
        self._store = store
        noted = store.read_deleted_users()
        self._known = {user.entry for user in noted}
        # Events of a merged visitor stay in the log of a shop: they are the login's.
        self.before: DeletedUsers = {user.digest: user.at for user in noted if not user.merged}

    def forget_later(self, generation: GenerationFolder) -> None:
        """Remove the users who were deleted since from a generation, and from its copy in the store."""
        noted = [user for user in self._store.read_deleted_users() if user.entry not in self._known]
        if noted:
            forget_in_generation(self._store, generation, {user.digest: user.at for user in noted})
