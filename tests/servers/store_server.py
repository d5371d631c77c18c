"""Runs a Redis or Valkey server that a test can stop, kill, pause and empty, and calls of one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from recsys.process import parent_death
from recsys.store import RedisUserStore
from recsys.store.embedded_valkey import valkey_binary
from tests.servers.deployment import free_port


class StoreServer:
    """A server on a loopback port that keeps its data in `folder`. options: further ones of the command line."""

    def __init__(self, folder: Path, binary: Path | None = None, options: Sequence[str] = ()) -> None:
        self._folder, self._binary, self._options = folder, binary or valkey_binary(), options
        self._started, self._moves = False, 0
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *, wait: bool = True) -> StoreServer:
        """Start it with the data of its file."""
        self._process = subprocess.Popen(
            [
                *(str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "everysec"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            preexec_fn=parent_death.preexec(),
        )
        while wait and not self._answers():
            if self._process.poll() is not None:
                assert not self._started, "it ended"
                return self._elsewhere().start()  # another process has taken the port
            time.sleep(0.02)
        self._started = True
        return self

    def _elsewhere(self) -> StoreServer:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._moves += 1
        assert self._moves < 5, "no port can be had"
        return self

    def client(self) -> Any:
        """A client of the server."""
        return redis.Redis.from_url(self.url, retry=None)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._started and self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, if the server runs."""
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            self._process.wait(30)

    def pause(self) -> None:
        """SIGSTOP: the server hangs."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the server continues."""
        os.kill(self._process.pid, signal.SIGCONT)

    def forget(self) -> None:
        """Delete the data of a stopped server."""
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def empty(url: str) -> None:
    """Delete all data of a server."""
    with redis.Redis.from_url(url) as client:
        client.flushall()


def on_users(url: str, work: Callable[[RedisUserStore], Awaitable[Any]]) -> Any:
    """Run `work` with the user store of a server in a new event loop."""

    async def scene() -> Any:
        users = RedisUserStore(url)
        try:
            return await work(users)
        finally:
            await users.close()

    return asyncio.run(scene())
