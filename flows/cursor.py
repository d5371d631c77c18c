"""How far a flow has followed the log of events, kept in a file of the home."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cursor:
    """The last entry that was done for a generation; another generation's lists begin with the log."""

    path: Path
    generation: str

    def read(self) -> str:
        """The last entry that was done; empty for none."""
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            return str(told["entry"]) if told["generation"] == self.generation else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def write(self, entry: str) -> None:
        """Remember that everything up to an entry is done."""
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps({"generation": self.generation, "entry": entry}), encoding="utf-8")
        scratch.replace(self.path)
