"""The log of impressions, and the deletion and merging of users in a gateway."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from recsys.errors import StageError, StoreFull
from recsys.slates.query import Query
from recsys.store import UserState
from recsys.types import LOAD_TEST_USERS, Event
from service.schema import Mode, UserRequest
from service.schema.verb_table import FORGET
from service.settings import Settings
from service.verbs import impressions
from service.verbs.impressions import STEP_SECONDS, ImpressionLog
from service.verbs.recommender import Recommender
from service.verbs.users import UserVerbs
from tests.fakes.in_process import counted

USER = "the-one-to-forget"

pytestmark = pytest.mark.anyio


class Users:
    """A store that records its calls and the users of written slates. full: it raises. seconds: of a write."""

    def __init__(self, full=False, seconds=0.0):
        self.calls, self.written, self.full, self.seconds = [], [], full, seconds

    async def add_impressions(self, shown):
        await asyncio.sleep(self.seconds)
        self.written.extend(user for user, _ in shown)

    async def forget_user(self, user):
        await asyncio.sleep(self.seconds)
        self.calls.append("user")
        if self.full:
            raise StoreFull("Redis is full.")

    async def forget_impressions(self, user):
        self.calls.append("impressions")

    async def read_users(self, generation, buckets, users, variant=""):
        return [UserState(None, []) for _ in users]

    async def merge_user(self, user, into, trained, dataset):
        self.calls.append(f"merged {user}")
        return 0

    async def merge_streams(self, merges):
        self.calls.append(f"swept {', '.join(merge.user for merge in merges)}")
        if self.full:
            self.full = False
            raise StoreFull("Redis is full.")

    async def close(self):
        self.calls.append("closed")


@pytest.fixture
def short_waits(monkeypatch):
    """Short waits before the second deletion and before a sweep."""
    monkeypatch.setattr("service.verbs.users.LOGGED_WITHIN", 0.05)
    monkeypatch.setattr("service.verbs.users.SWEEP_SECONDS", 0.2)


@pytest.fixture
def log():
    """A log without a rate limit, and without a store and ranking."""
    return ImpressionLog(None, None, 1e9)


@pytest.fixture
def ranked(monkeypatch):
    """Ranking that returns features for each slate."""
    monkeypatch.setattr(impressions, "REST_SECONDS", 0.01)
    monkeypatch.setattr(impressions, "answered", lambda *_: asyncio.sleep(0, np.zeros(1)))
    monkeypatch.setattr(impressions, "rank_table", lambda *_: np.zeros(1, [("due", "f8"), ("places", "i4", 3)]))
    monkeypatch.setattr(impressions.wire, "failed", lambda found: np.zeros(1, bool))
    monkeypatch.setattr(impressions, "places", lambda *_: np.arange(3))

    def shown(query, *_):
        return SimpleNamespace(user_id=query.user_id, pack=lambda: b"shown")

    monkeypatch.setattr(impressions, "_impression", shown)


def query(user=USER):
    """A query that was answered."""
    generation = SimpleNamespace(
        item_rows=lambda items: np.zeros(len(items), np.int32),
        spec=SimpleNamespace(contexts=(), own=()),
        dataset="shop",
    )
    query = Query(generation, user, 3, 0.0, [Event(user, "a", 1.0)])
    query.items = np.arange(3, dtype=np.int32)
    return query


def lost():
    """The number of slates that were counted as lost."""
    return counted("tandem_impressions_total", outcome="lost")


QUIET = SimpleNamespace(forget=lambda user: None, flush=lambda: asyncio.sleep(0))
"""A log of impressions that logs nothing."""


def recommender(users, *, log=QUIET):
    """A recommender of the dependencies that forget."""
    dependencies = SimpleNamespace(
        pipeline=SimpleNamespace(enrich=None, finish=None),
        switcher=SimpleNamespace(follower=SimpleNamespace(stop=lambda: None)),
        users=UserVerbs(users, log),
        items=SimpleNamespace(close=lambda: asyncio.sleep(0), put=None, show=None, forget=None),
        impressions=log,
        runs=SimpleNamespace(close=lambda: None),
    )
    return Recommender(dependencies, users, Settings(max_batch=1, max_in_flight=1))


async def test_slates_of_an_experiment_are_logged_while_ranking_fails(monkeypatch):
    """Without features: an arm whose ranking fails would have fewer users in reports. Others are counted as lost."""
    users, before = Users(), lost()

    async def fails(*_):
        raise StageError("ranking failed")

    monkeypatch.setattr(impressions, "rank_table", lambda *_: np.zeros(2, [("due", "f8"), ("places", "i4", 3)]))
    monkeypatch.setattr(impressions, "places", lambda *_: np.arange(3))
    monkeypatch.setattr(impressions, "answered", fails)
    log = ImpressionLog(users, None, 1e9)
    for user, arms in (("plain", {}), ("tried", {"ease": "new"})):
        shown = query(user)
        shown.generation.item_id, shown.generation.id = int, "g1"
        shown.scores, shown.sources = np.zeros(3, np.float32), np.zeros(3, np.uint16)
        shown.assigned = replace(shown.assigned, arms=arms)
        log.note(shown)
    await log.flush()
    assert (users.written, lost() - before) == (["tried"], 1)


async def test_a_slate_that_waited_too_long_is_dropped_and_counted(log, monkeypatch):
    """It would be logged after the second deletion of deleted users."""
    logged, before = [], lost()

    async def take(batch):
        logged.extend(query.user_id for query, _ in batch)

    monkeypatch.setattr(log, "_log", take)
    monkeypatch.setattr(impressions, "REST_SECONDS", 0.01)
    log.note(query())
    log.note(query("in time"))
    log._waiting[0] = log._waiting[0][0], time.time() - STEP_SECONDS - 0.1
    following = asyncio.create_task(log.follow())
    await asyncio.sleep(0.1)
    following.cancel()
    assert logged == ["in time"]
    assert lost() - before == 1


async def test_a_slow_write_of_slates_is_stopped_and_counted_as_lost(monkeypatch, ranked):
    """A later write could follow the second deletion of a deleted user."""
    monkeypatch.setattr(impressions, "STEP_SECONDS", 0.05)
    before, users = lost(), Users(seconds=0.3)
    log = ImpressionLog(users, None, 1e9)
    log.note(query())
    await log.flush()
    await asyncio.sleep(0.4)
    assert users.written == []
    assert lost() - before == 1


async def test_a_user_deleted_during_the_call_of_ranking_is_not_logged(monkeypatch, ranked):
    """The store never gets the slate."""
    users = Users()
    log = ImpressionLog(users, None, 1e9)

    async def forgetting(*_):
        log.forget(USER)
        return np.zeros(1)

    monkeypatch.setattr(impressions, "answered", forgetting)
    monkeypatch.setattr(impressions, "BATCH", 1)
    log.note(query())
    log.note(query("another"))
    following = asyncio.create_task(log.follow())
    await asyncio.sleep(0.1)
    following.cancel()
    assert users.written == ["another"]


async def test_impressions_are_deleted_a_second_time_also_in_a_full_store(short_waits):
    """The store raises an error after it deleted what it could, and another process may still log a slate."""
    users = Users(full=True)
    verbs = UserVerbs(users, QUIET)
    with pytest.raises(StoreFull):
        await verbs.forget(USER)
    await verbs.finish()
    assert users.calls == ["user", "impressions"]


SERVED = SimpleNamespace(
    id="g1", manifest=SimpleNamespace(user_buckets=1), dataset="shop", spec=SimpleNamespace(event_types=())
)


async def test_a_slate_that_is_not_logged_yet_survives_a_merge(short_waits, log):
    """The sweep gives the slate to the login."""
    log.note(query())
    await UserVerbs(Users(), log).merge(USER, "login", SERVED)
    assert [query.user_id for query, _ in log._waiting] == [USER]


async def test_a_deletion_goes_on_if_its_call_is_cancelled(short_waits):
    """Such as a gRPC call after its deadline."""
    users = Users(seconds=0.05)
    verbs = UserVerbs(users, QUIET)
    call = asyncio.create_task(verbs.forget(USER))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await verbs.finish()
    assert users.calls == ["user", "impressions"]


async def test_a_gateway_that_stops_deletes_impressions_first(short_waits):
    """Before it closes the store."""
    users = Users()
    one = recommender(users)
    await one.answer(FORGET, UserRequest(user_id=USER), 0)
    await one.finish()
    await one.close()
    assert users.calls == ["user", "impressions", "closed"]


def test_a_slate_of_a_visitor_or_a_load_test_user_is_not_logged():
    """No event could label the slate of a visitor, and slates of load-test users would enter the training rows."""
    log = ImpressionLog(None, None, 100.0)
    for user in (f"{LOAD_TEST_USERS}u", None, "u"):
        log.note(SimpleNamespace(made_by=Mode.REALTIME, items=[1], degraded=[], is_ranked=True, user_id=user))
    assert [query.user_id for query, _ in log._waiting] == ["u"]
