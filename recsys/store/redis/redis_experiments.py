"""The Redis store of experiments: one document with a version, and the halts of arms by gateways."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from recsys.errors import ExperimentError, StoreError
from recsys.experiments.document import DocumentChange, ExperimentsDocument
from recsys.store import refusals
from recsys.store.key_names import EXPERIMENTS, EXPERIMENTS_VERSION, LOOKS, NEEDED, halt_key, manifest_key
from recsys.store.redis.connection import sync_client, translated_errors
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.scripts import WRITE_EXPERIMENTS
from recsys.store.redis.store_address import address

HALT_EXPIRE = 86_400
"""Seconds after which a gateway's halt of an arm expires. The monitor writes a halt into the document long before."""

LOOKS_EXPIRE = 3_600
"""Seconds after which the monitor's looks expire: the guardrails are judged on the last ten minutes."""

MOST_TRIES = 20
"""Lost races after which a change fails: people and the monitor change experiments a few times a day."""

_CONNECT_SECONDS, _REPLY_SECONDS = 2.0, 5.0


class RedisExperimentStore:
    """The experiments of a deployment; SettingsError for a malformed `url`.

    Every call raises StoreUnavailable without a store.
    """

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS)
        self._found: tuple[Any, ExperimentsDocument] | None = None

    def read(self) -> ExperimentsDocument:
        """Return all experiments; StoreError if another version of the code wrote them.

        Cheap if nothing changed since the last call. The text is compared and not its version alone: a failover may
        lose a change, whose version the next one gets.
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
        """Return the reason of each halt by a gateway, by experiment and arm, of the arms of a document.

        They are read in one round trip.
        """
        if not (arms := _arms_of(document)):
            return {}
        with translated_errors(self.address):
            reasons: Any = self._redis.mget([halt_key(*arm) for arm in arms])
        return {arm: reason.decode() for arm, reason in zip(arms, reasons, strict=True) if reason is not None}

    def halt(self, experiment: str, arm: str, reason: str) -> None:
        """Halt an arm for HALT_EXPIRE seconds: its users get the control. The first reason is kept."""
        with translated_errors(self.address):
            self._redis.set(halt_key(experiment, arm), reason, ex=HALT_EXPIRE, nx=True)

    def looks(self) -> bytes | None:
        """Return what `keep_looks` stored last; None if there is nothing, or if it has expired."""
        with translated_errors(self.address):
            found: Any = self._redis.get(LOOKS)
        return found  # type: ignore[no-any-return]  # redis-py's replies are Any

    def keep_looks(self, looks: bytes) -> None:
        """Keep the monitor's looks at gateways, as JSON, for LOOKS_EXPIRE seconds."""
        with translated_errors(self.address):
            self._redis.set(LOOKS, looks, ex=LOOKS_EXPIRE)

    def change(self, change: DocumentChange) -> ExperimentsDocument:
        """Change the experiments in one step, and return the new document.

        After a lost race the change is applied to the newer document, whose ExperimentError is raised. ExperimentError
        also refuses a new arm whose generation is not in the store. Nothing is written by a change without effect.
        """
        for _ in range(MOST_TRIES):
            old = self.read()
            new = change(old)
            if new == old:
                return old
            new = new.model_copy(update={"version": old.version + 1})
            if self._write(old, new):
                return new
        raise ExperimentError("Other commands change the experiments all the time. Try again.")

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _write(self, old: ExperimentsDocument, new: ExperimentsDocument) -> bool:
        """Write a document, unless another version than the old one's is stored: then nothing is written.

        ExperimentError if a generation that only the new document names is not in the store. A generation that the
        store lost later refuses no change: the arm must be halted, or its experiment stopped.
        """
        added, kept = sorted(new.generations - old.generations), sorted(new.generations & old.generations)
        keys = [EXPERIMENTS, EXPERIMENTS_VERSION, NEEDED, *map(manifest_key, added)]
        values: list[Any] = [old.version, new.model_dump_json(), ALIASES_CHANNEL, *added, *kept]
        with translated_errors(self.address):
            reply: Any = self._redis.eval(WRITE_EXPERIMENTS, len(keys), *keys, *values)
        outcome, which = reply
        if outcome == b"absent":
            raise refusals.absent(which.decode())
        return bool(outcome == b"written")


def _arms_of(document: ExperimentsDocument) -> list[tuple[str, str]]:
    """The experiment and the arm of each arm of a running experiment."""
    running = [each for each in document.experiments.values() if each.status == "running"]
    return [(each.name, arm) for each in running for arm in each.definition.arms]
