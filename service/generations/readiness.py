"""The readiness of a server process: the fixed sentences by which /readyz and the log explain why it is not ready.

/readyz needs no key. So a sentence may name a stage, but no address, generation, user or error. Those are in the log
and in /status.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("tandem")

STARTING = "The service is starting."
STOPPING = "The service is stopping."
NO_REDIS = "Redis does not answer."
REFUSED = "The live generation was refused; /status and the log give the reason."
LOADING = "The live generation is being loaded."


def not_up(stages: str, seconds: float) -> str:
    """The reason while a gateway that starts waits for retrieval or ranking."""
    return f"{stages} is not up; the gateway starts without it after {seconds:.0f} s."


class ReadinessLog:
    """Logs each reason once, and that the process is ready."""

    def __init__(self) -> None:
        self._logged: str | None = None

    def note(self, reason: str | None) -> None:
        """The reason why the process is not ready now; None if it is ready."""
        if reason in (self._logged, STARTING, LOADING):
            return  # a start is no fault; its end is logged
        if reason is None:
            logger.info("Ready.")
        else:
            logger.warning("Not ready: %s", reason)
        self._logged = reason
