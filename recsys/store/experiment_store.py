"""What the stores of experiments share: a change of the document as a function, which is repeated after a lost race."""

from __future__ import annotations

from abc import ABC, abstractmethod

from recsys.errors import ExperimentError
from recsys.experiments.document import DocumentChange, ExperimentsDocument

HALT_EXPIRE = 86_400
"""Seconds after which a gateway's halt of an arm expires. The monitor writes a halt into the document long before."""

LOOKS_EXPIRE = 3_600
"""Seconds after which the monitor's looks expire: the guardrails are judged on the last ten minutes."""

MOST_TRIES = 20
"""Lost races after which a change fails: people and the monitor change experiments a few times a day."""


class ExperimentStore(ABC):
    """The experiments of a deployment; every call raises StoreUnavailable without a store."""

    @abstractmethod
    def read(self) -> ExperimentsDocument:
        """Return all experiments. Cheap if nothing changed since the last call."""

    @abstractmethod
    def halts(self, document: ExperimentsDocument) -> dict[tuple[str, str], str]:
        """Return the reason of each halt by a gateway, by experiment and arm, of the arms of a document."""

    @abstractmethod
    def halt(self, experiment: str, arm: str, reason: str) -> None:
        """Halt an arm for HALT_EXPIRE seconds: its users get the control. The first reason is kept."""

    @abstractmethod
    def looks(self) -> bytes | None:
        """Return what `keep_looks` stored last; None if there is nothing, or if it has expired."""

    @abstractmethod
    def keep_looks(self, looks: bytes) -> None:
        """Keep the monitor's looks at gateways, as JSON, for LOOKS_EXPIRE seconds."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""

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

    @abstractmethod
    def _write(self, old: ExperimentsDocument, new: ExperimentsDocument) -> bool:
        """Write a document, unless another version than the old one's is stored: then nothing is written.

        ExperimentError if a generation that only the new document names is not in the store. A generation that the
        store lost later refuses no change: the arm must be halted, or its experiment stopped.
        """


def arms_of(document: ExperimentsDocument) -> list[tuple[str, str]]:
    """The experiment and the arm of each arm of a running experiment."""
    running = [each for each in document.experiments.values() if each.status == "running"]
    return [(each.name, arm) for each in running for arm in each.definition.arms]
