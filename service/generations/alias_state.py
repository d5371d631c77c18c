"""What a process last read from the store: the generation that each alias names, and the other processes.

While the store can't be read, the aliases of the last read stay: an unread table is not an empty one.

A generation is a trained set of models and tables. An alias, such as `live`, names the one to answer from.
The generation of an experiment's arm has an alias of its own, which is no key of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys.store.process_registry import Announcement
from recsys.store.stored_types import LIVE

_ARM = "arm:"


def arm_alias(generation: str) -> str:
    """The alias of a generation that arms of experiments answer from."""
    return _ARM + generation


@dataclass(frozen=True, slots=True)
class AliasState:
    """The content of the store at the last read.

    was_read: False before the first read, which may have failed. named: the generation of each alias that names one, as
    last read. fault: why the store can't be read now. processes: the announcements of the other processes, none while
    there is a fault.
    """

    was_read: bool = False
    named: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None
    processes: tuple[Announcement, ...] = ()

    @property
    def live(self) -> str | None:
        """The generation that is live, as last read; None if there is none, or if the store was never read."""
        return self.named.get(LIVE)

    @property
    def arms(self) -> list[str]:
        """The generations of the arms of experiments."""
        return [generation for alias, generation in self.named.items() if alias.startswith(_ARM)]

    @property
    def served(self) -> set[str]:
        """The generations that other gateways answer from."""
        return {generation for process in self.processes for generation in process.serving}

    def lacking(self, generation: str) -> bool:
        """Whether another process does not hold the generation."""
        return any(generation not in process.held for process in self.processes)

    def lacking_in_a_backend(self, generation: str) -> bool:
        """Whether a process of retrieval or ranking answers, and does not hold the generation.

        A process that holds nothing yet answers nothing.
        """
        backends = (process for process in self.processes if process.role != "gateway" and process.held)
        return any(generation not in process.held for process in backends)
