"""Why a process is not ready, for /readyz and the log.

/readyz needs no key. So each reason is one of the sentences below, with keys and without: it names a stage at most, and
no address, generation, user or error text. Those are in the log and in /status.
"""

from __future__ import annotations

import logging

from recsys.errors import NOTHING_LIVE

logger = logging.getLogger("tandem")

STARTING = "The service is starting."
STOPPING = "The service is stopping."
NO_REDIS = "Redis does not answer."
REFUSED = "The live generation was refused; /status and the log give the reason."
LOADING = "The live generation is being loaded."


def why_nothing_is_served(looked: bool, fault: str | None, live: str | None, refused: bool) -> str:
    """The reason of a process without a generation to serve, by what it knows.

    looked: whether it has read the aliases. fault: why they can't be read. live: what is live. refused: whether a
    generation was refused, here or by another process.
    """
    if not looked:
        return STARTING
    if fault:
        return NO_REDIS
    if refused:
        return REFUSED
    return LOADING if live else NOTHING_LIVE


def not_up(stages: str, seconds: float) -> str:
    """The reason while a gateway that starts waits for retrieval or ranking."""
    return f"{stages} is not up; the gateway starts without it after {seconds:.0f} s."


class ReadinessLog:
    """Logs each reason once, and when the process is ready after all."""

    def __init__(self) -> None:
        self._logged: str | None = None

    def note(self, reason: str | None) -> None:
        """The reason why the process is not ready now; None where it is ready."""
        if reason in (self._logged, STARTING, LOADING):
            return  # a start is no fault, and its end is logged as it is
        if reason is None:
            logger.info("Ready.")
        else:
            logger.warning("Not ready: %s", reason)
        self._logged = reason
