"""The followers of a server process: each repeats a step, in a task or in a thread, until the process ends.

A step that fails does not end its follower. The failure is logged, at most once a minute, and counted in
`tandem_follower_failures_total`; the follower starts again after a pause.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from recsys.errors import StoreUnavailable
from service.telemetry import metrics
from service.telemetry.throttled_logger import ThrottledLogger

RESTART_SECONDS = 1.0
"""Pause after a step that failed, at least."""

Step = Callable[[], object]


class _Failures:
    """The failures of one follower. seconds: its pause between two steps."""

    def __init__(self, follower: str, seconds: float) -> None:
        self._follower = follower
        self._pause = max(seconds, RESTART_SECONDS)
        self._count = metrics.follower_failures_total.labels(follower).inc
        self._count(0)  # so that the first failure is an increase
        self._log = ThrottledLogger("The follower %s failed, and starts again after %g s.")

    def pause_after(self, error: BaseException) -> float:
        """Log and count a failure; seconds until the next step.

        An unavailable store has its own line elsewhere and is not counted.
        """
        if not isinstance(error, StoreUnavailable):
            self._count(1)
            self._log.warn(self._follower, self._pause, error=error)
        return self._pause


async def repeat(follower: str, step: Callable[[], Awaitable[object]], seconds: float = 0.0) -> None:
    """Run a step, pause, and so on, until this task is cancelled. follower: its name, for the log and the metric."""
    failures = _Failures(follower, seconds)
    while True:
        pause = seconds
        try:
            await step()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            pause = failures.pause_after(error)  # of something that the step waited for
        except Exception as error:
            pause = failures.pause_after(error)
        await asyncio.sleep(pause)


def repeat_in_thread(
    follower: str,
    step: Step,
    seconds: float = 0.0,
    *,
    first: Step | None = None,
    stopped: threading.Event | None = None,
) -> None:
    """Start a thread that runs a step, pauses, and so on, until `stopped` is set or the process ends.

    first: a step that runs once before this function returns.
    """
    failures, ended = _Failures(follower, seconds), stopped or threading.Event()

    def run(each: Step) -> float:
        try:
            each()
        except Exception as error:
            return failures.pause_after(error)
        return seconds

    def follow() -> None:
        pause = 0.0
        while not ended.wait(pause):
            pause = run(step)

    if first is not None:
        run(first)
    threading.Thread(target=follow, name=follower, daemon=True).start()
