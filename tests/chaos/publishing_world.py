"""A Redis and a folder with a few generations (sets of trained models), for tests of publishing that fails midway."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.operate.publish_and_promote import publish
from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.generation.publisher import Check
from recsys.store import RedisGenerationStore
from recsys.store.key_names import generation_keys, manifest_key
from recsys.store.redis.connection import sync_client
from recsys.store.stored_types import LIVE, PREVIOUS
from training.progress import NO_PROGRESS
from training.untrained_generation import random_generation

COUNTERS = {"fence", "promoted", "generations", f"alias:{LIVE}", f"alias:{PREVIOUS}"}
"""Keys without an expiry that no manifest names; the store has one of each."""


def reads(folder: GenerationFolder) -> None:
    """Verify every byte, in place of the smoke queries."""
    folder.verify()


class PublishingWorld:
    """Generations in a store at `url` and in folders under `home`."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home
        self.store = RedisGenerationStore(url)
        self.client: Any = sync_client(url, 2.0, 5.0)
        self._dumps: dict[bytes, bytes] = {}

    def close(self) -> None:
        self.store.close()
        self.client.close()

    def empty(self) -> None:
        self.client.flushall()

    def used(self) -> int:
        """Bytes that the server uses, after it has freed the buffers of closed connections."""
        time.sleep(0.3)
        return int(self.client.info("memory")["used_memory"])

    def limit(self, policy: str, beyond: int) -> None:
        """Limit the server's memory to `beyond` bytes more than it uses."""
        used = self.client.info("memory")["used_memory"]
        self.client.config_set("maxmemory-policy", policy)
        self.client.config_set("maxmemory", used + beyond)

    def unlimited(self) -> None:
        """Remove the limit of the server's memory."""
        self.client.config_set("maxmemory", 0)
        self.client.config_set("maxmemory-policy", "noeviction")

    def make(self, generation: str, items: int, users: int, record: int = 100) -> GenerationFolder:
        """A generation in a folder of its own."""
        return random_generation(self.home / "made", generation, items, 64, users, record)

    def folder(self, generation: str) -> GenerationFolder:
        return GenerationFolder(self.home / "made" / generation)

    def publish(self, generation: str, smoke: Check | None = reads, lease: float = 30.0) -> None:
        """Run `flows publish` in this process, with connections of its own."""
        (self.home / "work" / "generations" / generation).mkdir(parents=True, exist_ok=True)
        store, environment = RedisGenerationStore(self.url), Environment(self.home / "work", self.url)
        publish(str(self.folder(generation).path), store, environment, NO_PROGRESS, smoke=smoke, lease=lease)
        store.close()

    def remember(self) -> None:
        """Keep the store and the folder for `restore`."""
        keys = self.client.keys("*")
        self._dumps = dict(zip(keys, map(self.client.dump, keys), strict=True))
        shutil.copytree(self.home / "work", self.home / "kept")

    def restore(self) -> None:
        """Restore the store and the folder of the last `remember`."""
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
        """Read every part and every user, and compare them with the manifest."""
        text = self.store.read_manifest(generation)
        assert text is not None
        manifest = Manifest.from_json(text)
        for name, part in manifest.stored_parts.items():
            data = b"".join(self.store.read_part(generation, name, part.bytes))
            assert hashlib.sha256(data).hexdigest() == part.sha256, name
        ids, records = self.folder(generation).users()
        wanted = [records.bytes_at(row) for row in range(len(ids))]
        assert self.store.read_records(generation, manifest.user_buckets, list(ids)) == wanted

    def named(self) -> set[str]:
        """The keys of all manifests and of their parts, and COUNTERS."""
        keys = set(COUNTERS)
        for generation in self.store.generations():
            text = self.store.read_manifest(generation)
            assert text is not None
            manifest = Manifest.from_json(text)
            keys |= {manifest_key(generation), *generation_keys(generation, manifest)}
        return keys

    def nameless(self) -> set[str]:
        """Keys without an expiry that no manifest names."""
        keys = {key.decode() for key in self.client.keys("*")}
        return {key for key in keys - self.named() if self.client.ttl(key) < 0}

    def expiring(self) -> set[str]:
        """Keys with an expiry."""
        return {key.decode() for key in self.client.keys("*") if self.client.ttl(key) >= 0}

    def files(self) -> set[str]:
        """The files in the publisher's folder, two levels deep."""
        work = self.home / "work"
        return {str(path.relative_to(work)) for path in [*work.glob("*"), *work.glob("*/*")]}

    @contextmanager
    def died_at(self, what: str) -> Iterator[None]:
        """Name the kill point in every error."""
        try:
            yield
        except Exception as error:
            raise AssertionError(f"died at {what}: {error}") from error
