"""What flows and serving both take from the environment, read once where a program starts."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import SettingsError

MOST_DIGITS = 32
"""Of a size; a number that is longer is a slip, and may be more than a float holds."""


@dataclass(frozen=True, slots=True)
class Environment:
    """home: where state lives (TANDEM_HOME, else .tandem here).

    redis_url: REDIS_URL, or what the file REDIS_URL_FILE holds, as containers are given secrets; None for the embedded
    store.

    budget: what generations may take in Redis together, as it was written (TANDEM_REDIS_BUDGET).
    rules: the file of rules (TANDEM_RULES, else rules.toml here). rules_named: whether TANDEM_RULES names it.
    exports: the folder or URL below which flows write lists and impressions (TANDEM_EXPORTS); empty: the home.
    """

    home: Path
    redis_url: str | None
    budget: str = ""
    rules: Path = Path("rules.toml")
    rules_named: bool = False
    exports: str = ""

    @classmethod
    def read(cls) -> Environment:
        """Read the process's environment; SettingsError where the file that it names can't be read."""
        home = Path(os.environ.get("TANDEM_HOME") or ".tandem").absolute()
        redis_url, budget = _redis_url(), os.environ.get("TANDEM_REDIS_BUDGET", "")
        named = os.environ.get("TANDEM_RULES")
        exports = os.environ.get("TANDEM_EXPORTS", "")
        return cls(home, redis_url, budget, Path(named or "rules.toml"), bool(named), exports)

    @property
    def redis_budget(self) -> int | None:
        """Bytes that generations may take in Redis together, None for all there is; SettingsError if it is no size."""
        return size_of(self.budget)

    def folder(self, name: str, room: int = 0) -> Path:
        """A folder of the home, made if need be; SettingsError where it can't be written, or has no such room, bytes.

        To be asked for room where a deployment starts. One that runs goes on without, and its workers are replaced.
        """
        path = self.home / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path) as file:  # has no name where the system can: a kill leaves nothing
                if room:
                    os.posix_fallocate(file.fileno(), 0, room)
        except OSError as error:
            raise SettingsError(
                f"{path} can't be written ({error.strerror}). Set TANDEM_HOME to a folder that can."
            ) from error
        return path


def _redis_url() -> str | None:
    url, path = os.environ.get("REDIS_URL"), os.environ.get("REDIS_URL_FILE")
    if url or not path:
        return url or None
    try:
        told = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"REDIS_URL_FILE={path} can't be read: {getattr(error, 'strerror', error)}.") from error
    if not told:
        raise SettingsError(f"REDIS_URL_FILE={path} is empty. Write the URL of a Redis into it, or unset both.")
    return told


def size_of(text: str) -> int | None:
    """Bytes of a text such as 500MB, 1.5 GB or 1000000 (a KB is 1,024 bytes, as for Redis); None of an empty one."""
    if not text.strip():
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", text.strip().upper())
    if not found or len(text) > MOST_DIGITS:
        shown = text[:MOST_DIGITS]
        raise SettingsError(f"TANDEM_REDIS_BUDGET is {shown!r}, which is no size. Write it like 500MB or 1.5GB.")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2] or " "))
