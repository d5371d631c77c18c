"""The settings of Tandem, the recommender, from environment variables, such as REDIS_URL and TANDEM_HOME.

A program reads them once, at its start.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Environment:
    """home: the folder of all state (TANDEM_HOME, by default .tandem in the current folder).

    redis_url: REDIS_URL, or the content of the file REDIS_URL_FILE (a secret of a container); None for the embedded
    store. budget: the text of TANDEM_REDIS_BUDGET. rules: the file of rules (TANDEM_RULES, by default rules.toml in the
    current folder). rules_named: whether TANDEM_RULES is set. exports: the folder or URL for exported lists,
    impressions and events (TANDEM_EXPORTS); empty for the home. surfaces, surfaces_named: the same as the rules, of the
    file of surfaces (TANDEM_SURFACES, by default surfaces.toml). collected_days_text: TANDEM_COLLECTED_DAYS. dask: the
    number of Dask workers on this machine, or the address of a cluster (TANDEM_DASK); empty for none. dask_memory: the
    text of TANDEM_DASK_MEMORY.
    """

    home: Path
    redis_url: str | None
    budget: str = ""
    rules: Path = Path("rules.toml")
    rules_named: bool = False
    exports: str = ""
    surfaces: Path = Path("surfaces.toml")
    surfaces_named: bool = False
    collected_days_text: str = ""
    dask: str = ""
    dask_memory: str = ""

    @classmethod
    def read(cls) -> Environment:
        """Read the environment variables; SettingsError if REDIS_URL_FILE can't be read."""
        home = Path(os.environ.get("TANDEM_HOME") or ".tandem").absolute()
        redis_url, budget = _redis_url(), os.environ.get("TANDEM_REDIS_BUDGET", "")
        rules, surfaces = os.environ.get("TANDEM_RULES"), os.environ.get("TANDEM_SURFACES")
        return cls(
            home,
            redis_url,
            budget,
            Path(rules or "rules.toml"),
            bool(rules),
            os.environ.get("TANDEM_EXPORTS", ""),
            Path(surfaces or "surfaces.toml"),
            bool(surfaces),
            os.environ.get("TANDEM_COLLECTED_DAYS", ""),
            os.environ.get("TANDEM_DASK", ""),
            os.environ.get("TANDEM_DASK_MEMORY", ""),
        )

    @property
    def redis_budget(self) -> int | None:
        """Bytes that all generations may take in Redis together, None without a limit; SettingsError for no size."""
        return size_of(self.budget, "TANDEM_REDIS_BUDGET")

    @property
    def collected_days(self) -> int:
        """Days for which files of impressions and events stay, 400 unless set; SettingsError for no number of days."""
        text = self.collected_days_text.strip() or "400"
        if not re.fullmatch(r"[1-9]\d{0,4}", text):
            raise SettingsError(f"TANDEM_COLLECTED_DAYS is {text[:32]!r}. Write a number of days from 1 to 99999.")
        return int(text)

    def folder(self, name: str, room: int = 0) -> Path:
        """A folder of the home, created if missing; SettingsError if it can't be written or has less than `room` bytes.

        A deployment checks the room at its start only: a restarted worker must not fail on a full disk.
        """
        path = self.home / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path) as file:  # unnamed: a kill leaves no file
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
        content = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"REDIS_URL_FILE={path} can't be read: {getattr(error, 'strerror', error)}.") from error
    if not content:
        raise SettingsError(f"REDIS_URL_FILE={path} is empty. Write the URL of a Redis into it, or unset both.")
    return content


def size_of(text: str, setting: str) -> int | None:
    """Bytes of a text such as 500MB, 1.5 GB or 1000000 (1 KB is 1,024 bytes, as in Redis); None for an empty text.

    setting: the variable that an error names.
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"(\d{1,20}(?:\.\d{1,9})?)\s*([KMGT]?)I?B?", text.strip().upper())
    if not found:
        raise SettingsError(f"{setting} is {text[:32]!r}, which is no size. Write it like 500MB or 1.5GB.")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2] or " "))
