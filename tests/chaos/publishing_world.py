"""A store and a folder with a few generations, to be broken and put back as they were."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis

from flows.operate.verbs import publish
from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.publisher import Check
from recsys.store import RedisGenerationStore, RedisUserStore
from recsys.store.key_names import manifest_key, part_keys, users_keys
from recsys.store.ports import LIVE, PREVIOUS
from training.progress import NO_PROGRESS
from training.untrained_generation import random_generation

COUNTERS = {"fence", "promoted", "generations", f"alias:{LIVE}", f"alias:{PREVIOUS}"}
"""Keys that stay for ever, and should: there is one of each."""


def reads(folder: GenerationFolder) -> None:
    """A smoke test that reads every byte."""
    folder.verify()


class PublishingWorld:
    """Generations in a store at `url` and in folders under `home`."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home
        self.store = RedisGenerationStore(url)
        self.client = redis.Redis.from_url(url)
        self._users: set[str] = set()
        self._dumps: dict[bytes, bytes] = {}

    def close(self) -> None:
        for name in self._users:
            self.client.execute_command("ACL", "DELUSER", name)
        self.store.close()
        self.client.close()

    def empty(self) -> None:
        self.client.flushall()

    def used(self) -> int:
        """Bytes the server counts as used, once it has let go of what closed connections had."""
        time.sleep(0.3)
        return int(self.client.info("memory")["used_memory"])

    def limit(self, policy: str, beyond: int) -> None:
        """Let the server take `beyond` bytes more than it has now."""
        used = self.client.info("memory")["used_memory"]
        self.client.config_set("maxmemory-policy", policy)
        self.client.config_set("maxmemory", used + beyond)

    def unlimited(self) -> None:
        """Let the server take what it likes."""
        self.client.config_set("maxmemory", 0)
        self.client.config_set("maxmemory-policy", "noeviction")

    def make(self, generation: str, items: int, users: int, record: int = 100) -> GenerationFolder:
        """A generation in a folder of its own."""
        return random_generation(self.home / "made", generation, items, 64, users, record)

    def folder(self, generation: str) -> GenerationFolder:
        return GenerationFolder(self.home / "made" / generation)

    def publish(self, generation: str, smoke: Check | None = reads, lease: float = 30.0) -> None:
        """The operator's verb, over connections of its own."""
        (self.home / "work" / "generations" / generation).mkdir(parents=True, exist_ok=True)
        store, environment = RedisGenerationStore(self.url), Environment(self.home / "work", self.url)
        publish(str(self.folder(generation).path), store, environment, NO_PROGRESS, smoke=smoke, lease=lease)
        store.close()

    def remember(self) -> None:
        """Keep what is there, to be put back."""
        keys = self.client.keys("*")
        self._dumps = dict(zip(keys, map(self.client.dump, keys), strict=True))
        shutil.copytree(self.home / "work", self.home / "kept")

    def restore(self) -> None:
        """Put back what was there."""
        self.client.flushall()
        with self.client.pipeline() as pipe:
            for key, dump in self._dumps.items():
                pipe.restore(key, 0, dump)
            pipe.execute()
        shutil.rmtree(self.home / "work")
        shutil.copytree(self.home / "kept", self.home / "work")

    def alias(self, name: str) -> str | None:
        return self.store.alias(name)

    def check_whole(self, generation: str) -> None:
        """Every part by its sha256, and every user, as a reader finds them."""
        text = self.store.read_manifest(generation)
        assert text is not None
        manifest = Manifest.from_json(text)
        for name, part in manifest.stored_parts.items():
            data = b"".join(self.store.read_part(generation, name, part.bytes))
            assert hashlib.sha256(data).hexdigest() == part.sha256, name
        ids, records = self.folder(generation).users()
        wanted = [records.bytes_at(row) for row in range(len(ids))]
        assert self.store.read_records(generation, manifest.user_buckets, list(ids)) == wanted

    def user(self, name: str, *rights: str) -> str:
        """A user of the server that may do so much, gone with the world; the URL to come as."""
        self.client.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", "~*", "&*", *rights)
        self._users.add(name)
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return f"{self.url}?username={name}&password=secret"
        return urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.netloc}"))

    def as_reader(self, url: str) -> list[bytes | None]:
        """The record of the first user of g1, as the hot path reads it."""

        async def read() -> list[bytes | None]:
            users = RedisUserStore(url)
            states = await users.read_users("g1", self.folder("g1").manifest.user_buckets, ["user-0"])
            await users.close()
            return [state.record for state in states]

        return asyncio.run(read())

    def named(self) -> set[str]:
        """Every key that a manifest in the store names, manifests themselves, and what is there once."""
        keys = set(COUNTERS)
        for generation in self.store.generations():
            text = self.store.read_manifest(generation)
            assert text is not None
            manifest = Manifest.from_json(text)
            keys |= {manifest_key(generation), *part_keys(generation, manifest), *users_keys(generation, manifest)}
        return keys

    def nameless(self) -> set[str]:
        """Keys that stay for ever and that nothing names."""
        keys = {key.decode() for key in self.client.keys("*")}
        return {key for key in keys - self.named() if self.client.ttl(key) < 0}

    def expiring(self) -> set[str]:
        """Keys that will go by themselves."""
        return {key.decode() for key in self.client.keys("*") if self.client.ttl(key) >= 0}

    def files(self) -> set[str]:
        """What stands in the folder the publisher works in, two levels deep."""
        work = self.home / "work"
        return {str(path.relative_to(work)) for path in [*work.glob("*"), *work.glob("*/*")]}

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Say where the process died, if something is wrong."""
        try:
            yield
        except Exception as error:
            raise AssertionError(f"died at {what}: {error}") from error
