"""What a server process announces in the store: which generations it has loaded, and which ones it serves.

A generation is one trained set of models and tables. The gateway, the server that takes requests, changes to a new one
only when the announcements show that the other processes have loaded it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from recsys.process.process_identity import ProcessIdentity

ANNOUNCED_SECONDS = 20
"""The lifetime of an announcement. A process repeats its announcement after a quarter of it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """The state of one process.

    name: unique, as "ranking host 123". role: gateway, retrieval or ranking. held: loaded and tested generations.
    serving: generations that a gateway answers from, one for each alias. refused: the reason by generation. life: the
    identity that shows whether the process has ended.
    """

    name: str
    role: str
    held: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    life: ProcessIdentity | None = None

    @property
    def ended(self) -> bool:
        """Whether the process ran on this machine and has ended."""
        return self.life is not None and self.life.ended

    def to_json(self) -> str:
        """The text in the store."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Announcement | None:
        """Inverse of `to_json`; None for a text that can't be read, as of an older version."""
        try:
            raw = json.loads(text)
            held, serving = tuple(raw["held"]), tuple(raw["serving"])
            life = ProcessIdentity(**raw["life"]) if raw.get("life") else None
            return cls(raw["name"], raw["role"], held, serving, dict(raw["refused"]), life)
        except (ValueError, TypeError, KeyError):
            return None
