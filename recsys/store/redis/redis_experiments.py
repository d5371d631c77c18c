"""The Redis store of experiments: one document with a version, and the halts of arms by gateways."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from recsys.errors import StoreError
from recsys.experiments.document import ExperimentsDocument
from recsys.store import refusals
from recsys.store.experiment_store import HALT_EXPIRE, LOOKS_EXPIRE, ExperimentStore, arms_of
from recsys.store.key_names import EXPERIMENTS, EXPERIMENTS_VERSION, LOOKS, NEEDED, halt_key, manifest_key
from recsys.store.redis.connection import sync_client, translated_errors
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.scripts import WRITE_EXPERIMENTS
from recsys.store.redis.store_address import address

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 5.0


class RedisExperimentStore(ExperimentStore):
    """The experiments in Redis; SettingsError for a malformed `url`."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS)
        self._found: tuple[Any, ExperimentsDocument] | None = None

    def read(self) -> ExperimentsDocument:
        """Return all experiments; StoreError if another version of the code wrote them.

        The text is compared and not its version alone: a failover may lose a change, whose version the next one gets.
        """
        with translated_errors(self.address):
            found: Any = self._redis.mget(EXPERIMENTS, EXPERIMENTS_VERSION)
        if self._found is None or self._found[0] != found:
            self._found = found, self._parsed(*found)
        return self._found[1]

    @staticmethod
    def _parsed(text: bytes | None, version: bytes | None) -> ExperimentsDocument:
        try:
            document = ExperimentsDocument.model_validate_json(text) if text else ExperimentsDocument()
        except ValidationError as error:
            raise StoreError(
                f"The experiments in Redis can't be read by this version of the code: {error.errors()[0]['msg']}."
            ) from error
        return document.model_copy(update={"version": int(version or 0)})

    def halts(self, document: ExperimentsDocument) -> dict[tuple[str, str], str]:
        """Return the reasons of halts, read in one round trip."""
        if not (arms := arms_of(document)):
            return {}
        with translated_errors(self.address):
            reasons: Any = self._redis.mget([halt_key(*arm) for arm in arms])
        return {arm: reason.decode() for arm, reason in zip(arms, reasons, strict=True) if reason is not None}

    def halt(self, experiment: str, arm: str, reason: str) -> None:
        """Halt an arm."""
        with translated_errors(self.address):
            self._redis.set(halt_key(experiment, arm), reason, ex=HALT_EXPIRE, nx=True)

    def looks(self) -> bytes | None:
        """Return the monitor's looks."""
        with translated_errors(self.address):
            found: Any = self._redis.get(LOOKS)
        return found  # type: ignore[no-any-return]  # redis-py's replies are Any

    def keep_looks(self, looks: bytes) -> None:
        """Keep the monitor's looks."""
        with translated_errors(self.address):
            self._redis.set(LOOKS, looks, ex=LOOKS_EXPIRE)

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _write(self, old: ExperimentsDocument, new: ExperimentsDocument) -> bool:
        added, kept = sorted(new.generations - old.generations), sorted(new.generations & old.generations)
        keys = [EXPERIMENTS, EXPERIMENTS_VERSION, NEEDED, *map(manifest_key, added)]
        values: list[Any] = [old.version, new.model_dump_json(), ALIASES_CHANNEL, *added, *kept]
        with translated_errors(self.address):
            reply: Any = self._redis.eval(WRITE_EXPERIMENTS, len(keys), *keys, *values)
        outcome, which = reply
        if outcome == b"absent":
            raise refusals.absent(which.decode())
        return bool(outcome == b"written")
