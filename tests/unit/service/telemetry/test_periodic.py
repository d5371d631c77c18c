"""Followers, which repeat a step in a task or in a thread: one that fails goes on, and is logged and counted."""

import asyncio
import threading
import time

import pytest

from recsys.errors import StoreError, StoreUnavailable
from service.telemetry import metrics, periodic


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr("service.telemetry.periodic.RESTART_SECONDS", 0.0)


class Step:
    """Raises the errors in turn, and then nothing. done: set at the first call after these."""

    def __init__(self, *errors):
        self.errors, self.done = list(errors), threading.Event()

    def __call__(self, *_):
        if self.errors:
            raise self.errors.pop(0)
        self.done.set()
        time.sleep(0.01)

    async def awaited(self):
        self()


def failures(follower):
    """The failures that /metrics shows."""
    return metrics.follower_failures_total.labels(follower)._value.get()


async def follow(following, step):
    """Run a follower until its step is done; the follower must end with its cancellation alone."""
    task = asyncio.create_task(following)
    async with asyncio.timeout(20):
        while not step.done.is_set():
            assert not task.done(), task
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_task_that_fails_goes_on_with_one_line_and_a_count(caplog):
    """Also if what it waits for is cancelled, or the store refuses. An unavailable store has its own line elsewhere."""
    errors = ValueError("x"), StoreUnavailable("No Redis answers."), asyncio.CancelledError(), StoreError("not allowed")
    step = Step(*errors)
    asyncio.run(follow(periodic.repeat("some-task", step.awaited), step))
    assert failures("some-task") == 3
    assert caplog.text.count("The follower some-task failed") == 1
    assert "ValueError: x" in caplog.text


def test_a_thread_that_fails_goes_on_until_it_is_stopped(caplog):
    """The first step runs before the start returns, and its failure is no failure of the start."""
    step, first, stopped = Step(ValueError("x"), ValueError("y")), Step(), threading.Event()
    periodic.repeat_in_thread("some-thread", step, first=first, stopped=stopped)
    assert first.done.is_set()
    assert step.done.wait(20)
    assert failures("some-thread") == 2
    assert caplog.text.count("The follower some-thread failed") == 1
    [thread] = [each for each in threading.enumerate() if each.name == "some-thread"]
    stopped.set()
    thread.join(20)
    assert not thread.is_alive()
