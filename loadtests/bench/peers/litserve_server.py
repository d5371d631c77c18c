"""Server for comparison in the benchmark: LitServe with two workers, which compute one request at a time.

The engine is `plain`. LitServe reads annotations as they are: none of them may be text, as
`from __future__ import annotations` makes them.
"""

import asyncio
import sys
from typing import Any

import litserve

from loadtests.bench.peers import environment
from loadtests.bench.peers.engine import Slate


class Api(litserve.LitAPI):
    """decode, predict, encode, as LitServe has it."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's
        """Once in each worker."""
        self._engine, self._users, self._loop = environment.engine(), environment.users(), asyncio.new_event_loop()

    def decode_request(self, request: dict[str, Any]) -> tuple[int | str, int]:
        """The user and how many items."""
        return request["user_id"], int(request.get("k", 10))

    def predict(self, query: tuple[int | str, int]) -> Slate:
        """A slate for one user."""
        (user, k), manifest = query, self._engine.manifest
        [found] = self._loop.run_until_complete(self._users.read_users(manifest.id, manifest.user_buckets, [user]))
        return Slate.of(user, self._engine.slate(found, k), self._engine)

    def encode_response(self, output: Slate) -> dict[str, Any]:
        """The body of the answer."""
        return output.model_dump()


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/recommend"), accelerator="cpu", workers_per_device=2, timeout=30)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
