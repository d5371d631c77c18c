"""The file of keys on a disk, read again whenever it changed: a key is added and revoked without a restart."""

from __future__ import annotations

import asyncio
import logging

from recsys.errors import SettingsError
from recsys.followed import FollowedFile
from service.auth.keyring import Keyring, parse
from service.telemetry import metrics

logger = logging.getLogger("tandem")

LOOK_SECONDS = 1.0
"""How often the file is looked at; what is revoked is refused within that time, in every process by itself."""


class KeyFile(FollowedFile[Keyring]):
    """The keys in force.

    A file that can't be read, or is not there any more, keeps what was in force: revoked is what a right file does not
    have. SettingsError where it is wrong when it is first read; last: as of a `FollowedFile`, and where nothing is kept
    either, nobody is let in.
    """

    noun, error = "keys", SettingsError

    def parse(self, text: str) -> Keyring:
        """The keys of a text."""
        return Keyring([told.entry() for told in parse(text, self.path.name)])

    def nothing(self) -> Keyring:
        """No keys."""
        return Keyring()

    def absent(self) -> str:
        """There has to be one."""
        raise SettingsError(f"There is no file {self.path}, which TANDEM_KEYS names.")

    async def follow(self) -> None:
        """Look for ever."""
        while True:
            metrics.keys_wrong.set(self.fault is not None)
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                logger.exception("The file of keys can't be looked at.")
