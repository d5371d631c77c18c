"""The Redis store of the records that runs of flows (jobs such as `train`) leave; the newest of each flow are kept."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from recsys.flow_names import FLOWS
from recsys.store.key_names import runs_key
from recsys.store.redis.connection import sync_client, translated_errors
from recsys.store.redis.store_address import address
from recsys.store.run_record import RECORD, RUNS_KEPT, RunRecord

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 5.0


class RedisRunStore:
    """The records of runs; SettingsError for a malformed `url`, StoreUnavailable without a store."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS)

    def write(self, record: RunRecord) -> None:
        """Write or replace the record of a run, and remove the oldest beyond RUNS_KEPT."""
        key = runs_key(record.flow)
        with translated_errors(self.address):
            self._redis.hset(key, record.run, RECORD.dump_json(record))
            found: Any = self._redis.hgetall(key)
            read = {run: _parsed(text) for run, text in found.items()}
            newest = sorted(read, key=lambda run: each.start if (each := read[run]) else 0.0, reverse=True)
            if surplus := newest[RUNS_KEPT:]:
                self._redis.hdel(key, *surplus)

    def find(self, flow: str, run: str) -> RunRecord | None:
        """Return the record of a run; None if there is none."""
        with translated_errors(self.address):
            found: Any = self._redis.hget(runs_key(flow), run)
        return _parsed(found) if found else None

    def read(self) -> dict[str, list[RunRecord]]:
        """Return the records of each flow, newest first, in one round trip."""
        with translated_errors(self.address), self._redis.pipeline(transaction=False) as pipe:
            for flow in FLOWS:
                pipe.hgetall(runs_key(flow))
            found = pipe.execute()
        return {
            flow: sorted(filter(None, map(_parsed, texts.values())), key=lambda each: each.start, reverse=True)
            for flow, texts in zip(FLOWS, found, strict=True)
        }

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()


def _parsed(text: bytes) -> RunRecord | None:
    """A stored record; None if another version of the code wrote it in another form."""
    try:
        return RECORD.validate_json(text)
    except ValidationError:
        return None
