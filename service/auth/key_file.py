"""The file of API keys in a running server, read again on change: keys are added and revoked without a restart."""

from __future__ import annotations

import asyncio
import logging

from recsys.errors import SettingsError
from recsys.files.watched_file import WatchedFile
from service.auth.keyring import Keyring, parse
from service.telemetry import metrics
from service.telemetry.periodic import repeat

logger = logging.getLogger("tandem")

POLL_SECONDS = 1.0
"""Time between two checks of the file. Each process checks it by itself, and refuses a revoked key after that time."""


class KeyFile(WatchedFile[Keyring]):
    """The keys in force.

    While the file can't be read, or is gone, the previous keys stay in force: only a valid file revokes a key.
    SettingsError if the file is wrong when it is first read. last: the path of a copy of the last valid file, used
    while the file is wrong at a start; without a copy there is no key, and every request is refused.
    """

    noun, error = "keys", SettingsError

    def parse(self, text: str) -> Keyring:
        """The keys of a text."""
        return Keyring(parse(text, str(self.path)))

    def empty(self) -> Keyring:
        """No keys."""
        return Keyring()

    def text_if_missing(self) -> str:
        """SettingsError: the file is required."""
        raise SettingsError(f"There is no file {self.path}, which TANDEM_KEYS names.")

    def refresh(self) -> None:
        """Read the file if it changed, and warn of a file without keys: a copy may have been cut off."""
        before = self.current
        super().refresh()
        if self.current is not before and not self.current.records:
            logger.warning("%s has no key: every request is refused.", self.path)

    async def follow(self) -> None:
        """Check the file every `POLL_SECONDS`, until cancelled."""

        async def check() -> None:
            await asyncio.to_thread(self.refresh)
            metrics.keys_wrong.set(self.fault is not None)

        await repeat("keys", check, POLL_SECONDS)
