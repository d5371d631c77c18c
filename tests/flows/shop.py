"""A store with a live generation, and the actions of its users, for tests of `batch`, `refresh` and `drain`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time

from recsys.fresh_items.put_items import Put
from recsys.generation.publisher import Publisher
from recsys.lists.user_list import UserList
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore
from recsys.store.redis.item_store import RedisItemWriter
from recsys.types import Event
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.flow_environment import ROOT, flow_environment


class Shop:
    """A store with a live generation, and actions on it."""

    def __init__(self, home, url, folder, prefect_url):
        self.home, self.url, self.folder, self.rules = home, url, folder, home / "rules.toml"
        self.prefect_url = prefect_url
        self.generations, self.flows = RedisGenerationStore(url), RedisFlowStore(url)
        self.live = tiny.publish(folder, self.generations)

    def with_users(self, work, **limits):
        async def scene():
            users = RedisUserStore(self.url, **limits)
            try:
                return await work(users)
            finally:
                await users.close()

        return asyncio.run(scene())

    def click(self, user, *items, kind="click"):
        events = [Event(user, item, time.time(), kind) for item in items]
        self.with_users(lambda users: users.add_events(events))

    def hide(self, item):
        async def scene():
            writer = RedisItemWriter(self.url)
            await writer.put([Put(item, available=False)])
            await writer.close()

        asyncio.run(scene())

    def listed(self, *users, generation=None, variant=""):
        """The list of each user, None for a user without one."""
        buckets = self.folder.manifest.user_buckets
        states = self.with_users(lambda store: store.read_users(generation or self.live, buckets, users, variant))
        return [UserList.unpack(state.listed) for state in states]

    def users_with_lists(self, generation, variant=""):
        """The users of the live generation with a list of a kind."""
        users, buckets = [*map(str, range(tiny.USERS))], self.folder.manifest.user_buckets
        states = self.with_users(lambda store: store.read_users(generation, buckets, users, variant))
        return {user for user, state in zip(users, states, strict=True) if state.listed}

    def publish_beside(self, generation):
        """Publish another generation, which is not live."""
        folder = altered(self.folder, self.home / "generations" / generation)
        Publisher(self.generations, self.home / "trials").publish(folder)

    def another_live(self):
        """Publish a second generation and make it live."""
        folder = altered(self.folder, self.home / "generations" / "g-next", lambda path: None)
        return tiny.publish(folder, self.generations)

    def command(self, *arguments, **variables):
        own = {"TANDEM_RULES": str(self.rules), "REDIS_URL": self.url, "PREFECT_API_URL": self.prefect_url}
        return subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments],
            cwd=ROOT,
            env=flow_environment(self.home, **own | variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
