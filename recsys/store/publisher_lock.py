"""The owner of the publisher lock, which lets one process at a time upload trained models: machine, pid, start time.

They show whether the owner has ended, so that another process can take over at once.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace

from recsys.process.process_identity import ProcessIdentity


@dataclass(frozen=True, slots=True)
class ClaimOwner:
    """The owner of a claim, stored as JSON in its token.

    host: for people. pid, place, born: as in `ProcessIdentity`. nonce: differs between two claims of one process.
    """

    host: str
    pid: int
    place: str
    born: str
    generation: str
    nonce: str

    @classmethod
    def current(cls, generation: str) -> ClaimOwner:
        """The calling process, which is about to publish a generation."""
        process = ProcessIdentity.current()
        return cls(socket.gethostname(), process.pid, process.place, process.born, generation, os.urandom(4).hex())

    @classmethod
    def of_token(cls, token: str) -> ClaimOwner:
        """The owner in a claim's token; placeholders for a token that can't be read."""
        try:
            return cls(**json.loads(token.split(" ", 2)[2]))
        except (ValueError, TypeError, IndexError):
            return cls("an unknown machine", 0, "", "", "an unknown generation", "")

    def to_json(self) -> str:
        """The text in the store."""
        return json.dumps(asdict(self), sort_keys=True)

    def yields_to(self, other: ClaimOwner) -> bool:
        """Whether another owner may take the claim at once: this one has ended, or retries the same publish."""
        ended = ProcessIdentity(self.pid, self.place, self.born).ended
        return ended or replace(self, nonce="") == replace(other, nonce="")
