"""The log of slates is woken by what was shown, and by nothing else."""

import asyncio
from types import SimpleNamespace

from recsys.types import LOAD_TEST_USERS
from service.schema import Mode
from service.verbs.impressions import ImpressionLog


def test_it_is_woken_by_each_slate_and_sleeps_where_there_is_none(monkeypatch):
    """Each is flushed soon after it was shown; between two nothing is."""
    monkeypatch.setattr("service.verbs.impressions.REST_SECONDS", 0.0)
    log, flushed = ImpressionLog(None, None, 100.0), []
    shown = SimpleNamespace(made_by=Mode.REALTIME, items=[1], degraded=[], user_id="u")

    async def flush():
        flushed.append(len(log._waiting))
        log._waiting.clear()

    async def run():
        monkeypatch.setattr(log, "flush", flush)
        following = asyncio.create_task(log.follow())
        for count in range(3):
            await asyncio.sleep(0.05)
            assert flushed == [1] * count
            log.note(shown)
        await asyncio.sleep(0.05)
        following.cancel()

    asyncio.run(run())
    assert flushed == [1, 1, 1]


def test_a_slate_of_a_visitor_or_a_load_test_user_is_not_logged():
    """No event could label the visitor's; what a load-test user is shown would enter the training rows."""
    log = ImpressionLog(None, None, 100.0)
    for user in (f"{LOAD_TEST_USERS}u", None, "u"):
        log.note(SimpleNamespace(made_by=Mode.REALTIME, items=[1], degraded=[], user_id=user))
    assert [query.user_id for query, _ in log._waiting] == ["u"]
