"""What flows and serving both take from the environment, read once where a program starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Environment:
    """home: where state lives (TANDEM_HOME, else .tandem here). redis_url: REDIS_URL, None for the embedded store."""

    home: Path
    redis_url: str | None

    @classmethod
    def read(cls) -> Environment:
        """Read the process's environment."""
        home = Path(os.environ.get("TANDEM_HOME") or ".tandem").absolute()
        return cls(home, os.environ.get("REDIS_URL") or None)

    def folder(self, name: str) -> Path:
        """A folder of the home, made if need be; SettingsError where it can't be written."""
        path = self.home / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SettingsError(
                f"{path} can't be written ({error.strerror}). Set TANDEM_HOME to a folder that can."
            ) from error
        return path
