"""Who publishes: a process, told by its machine, its place on it and its birth, so that a dead one is known as dead."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace

from recsys.store.process_life import Life


@dataclass(frozen=True, slots=True)
class Owner:
    """host, pid: for people. place: this boot of this machine and its space of pids. born: the start in ticks.

    nonce: tells two claims of one process apart.
    """

    host: str
    pid: int
    place: str
    born: str
    generation: str
    nonce: str

    @classmethod
    def here(cls, generation: str) -> Owner:
        """The calling process, about to publish a generation."""
        life = Life.here()
        return cls(socket.gethostname(), life.pid, life.place, life.born, generation, os.urandom(4).hex())

    def to_json(self) -> str:
        """As it stands in the store."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Owner:
        """Inverse of `to_json`; ValueError or TypeError where it is none."""
        return cls(**json.loads(text))

    def makes_way(self, other: Owner) -> bool:
        """Whether another may take its claim at once: it is known to have ended, or tries the same thing again."""
        ended = Life(self.pid, self.place, self.born).ended
        return ended or replace(self, nonce="") == replace(other, nonce="")
