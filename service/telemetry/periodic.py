"""A periodic task: run a step again and again, and log its failures, so that a failure does not end the repetition."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from recsys.errors import TandemError

logger = logging.getLogger("tandem")


async def repeat(step: Callable[[], Awaitable[None]], seconds: float, failure: str) -> None:
    """Run a step, wait, and so on, without an end.

    failure: the sentence for the log. An error of Tandem, such as an unavailable store, has its own line elsewhere.
    """
    while True:
        try:
            await step()
        except TandemError:
            logger.debug("%s", failure)
        except Exception:
            logger.exception("%s", failure)
        await asyncio.sleep(seconds)
