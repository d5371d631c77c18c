"""What a gateway still has of a user who is forgotten: slates to be logged, and a second look."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from recsys.errors import StoreFull
from recsys.store import UserState
from recsys.types import Event
from service.recommend.query import Query
from service.settings import Settings
from service.verbs import impressions
from service.verbs.impressions import QUEUE, STEP_SECONDS, ImpressionLog
from service.verbs.recommender import Recommender
from service.verbs.users import LOGGED_WITHIN, UserVerbs
from tests.fakes.in_process import counted

USER = "the-one-to-forget"


class Users:
    """A store that tells what it was asked, and may be full."""

    def __init__(self, full=False):
        self.told, self.full = [], full

    async def forget_user(self, user):
        self.told.append("user")
        if self.full:
            raise StoreFull("Redis is full.")

    async def forget_impressions(self, user):
        self.told.append("impressions")

    async def read_users(self, generation, buckets, users):
        return [UserState(None, []) for _ in users]

    async def merge_user(self, user, into, more):
        self.told.append(f"merged {user}")
        return 0

    async def forget_streams(self, users):
        self.told.append(f"swept {', '.join(users)}")
        if self.full:
            self.full = False
            raise StoreFull("Redis is full.")

    async def close(self):
        self.told.append("closed")


class Generation:
    """As much of one as a query holds."""

    def item_rows(self, items):
        """Knows none."""
        return np.zeros(len(items), np.int32)


@pytest.fixture
def soon(monkeypatch):
    """A second look, and a sweep, that come soon."""
    monkeypatch.setattr("service.verbs.users.LOGGED_WITHIN", 0.05)
    monkeypatch.setattr("service.verbs.users.SWEEP_SECONDS", 0.2)


@pytest.fixture
def log():
    """A log that may log all, with nobody behind it."""
    return ImpressionLog(None, None, 1e9)


@pytest.fixture
def ranked(monkeypatch):
    """Ranking that answers for every slate."""
    monkeypatch.setattr(impressions, "REST_SECONDS", 0.01)
    monkeypatch.setattr(impressions, "answered", lambda *_: asyncio.sleep(0, np.zeros(1)))
    monkeypatch.setattr(impressions, "rank_table", lambda *_: np.zeros(1, [("due", "f8"), ("places", "i4", 3)]))
    monkeypatch.setattr(impressions.wire, "failed", lambda found: np.zeros(1, bool))
    monkeypatch.setattr(impressions, "places", lambda *_: np.arange(3))

    def shown(query, *_):
        return SimpleNamespace(user_id=query.user_id, pack=lambda: b"shown")

    monkeypatch.setattr(impressions, "_impression", shown)


def query(user=USER):
    """One that was answered."""
    query = Query(Generation(), user, 3, 0.0, [Event(user, "a", 1.0)])
    query.items = np.arange(3, dtype=np.int32)
    return query


def lost():
    """How many slates were counted as lost."""
    return counted("tandem_impressions_total", outcome="lost")


def recommender(users, *, log=None):
    """A recommender of the dependencies that forget."""
    quiet = SimpleNamespace(forget=lambda user: None, flush=lambda: asyncio.sleep(0))
    dependencies = SimpleNamespace(
        pipeline=SimpleNamespace(enrich=None, finish=None),
        switcher=SimpleNamespace(follower=SimpleNamespace(stop=lambda: None)),
        users=UserVerbs(users),
        items=SimpleNamespace(close=lambda: asyncio.sleep(0)),
        impressions=log or quiet,
    )
    return Recommender(dependencies, users, Settings(max_batch=1, max_in_flight=1))


def test_a_slate_that_waited_too_long_is_let_go(log, monkeypatch):
    """And counted: it would be logged after the second look for those who were forgotten."""
    logged, before = [], lost()

    async def take(batch):
        logged.extend(query.user_id for query, _ in batch)

    monkeypatch.setattr(log, "_log", take)
    monkeypatch.setattr(impressions, "REST_SECONDS", 0.01)
    log.note(query())
    log.note(query("in time"))
    log._waiting[0] = log._waiting[0][0], time.time() - STEP_SECONDS - 0.1

    async def scene():
        following = asyncio.create_task(log.follow())
        await asyncio.sleep(0.1)
        following.cancel()

    asyncio.run(scene())
    assert logged == ["in time"]
    assert lost() - before == 1


def test_a_process_that_ends_logs_what_waits(monkeypatch, ranked):
    """What is on its way, too, and nothing twice; it is done when it is told to have finished."""
    written = []

    class Slow(Users):
        async def add_impressions(self, shown):
            await asyncio.sleep(0.05)
            written.extend(user for user, _ in shown)

    log = ImpressionLog(Slow(), None, 1e9)
    monkeypatch.setattr(impressions, "BATCH", 1)

    async def scene():
        following = asyncio.create_task(log.follow())
        log.note(query("on its way"))
        await asyncio.sleep(0.03)
        log.note(query("waits"))
        await recommender(Users(), log=log).finish()
        following.cancel()

    asyncio.run(scene())
    assert written == ["on its way", "waits"]


def test_what_the_queue_has_no_room_for_is_counted(log):
    """The oldest go, as lost as those that ranking did not answer."""
    before = lost()
    for _ in range(QUEUE + 3):
        log.note(query())
    assert lost() - before == 3
    assert len(log._waiting) == QUEUE


def test_a_store_that_takes_long_is_not_waited_for(monkeypatch, ranked):
    """What is not written in time is lost, so that nothing is logged after the second look."""
    monkeypatch.setattr(impressions, "STEP_SECONDS", 0.05)
    written = []

    class Slow(Users):
        async def add_impressions(self, shown):
            await asyncio.sleep(0.3)
            written.append(shown)

    log, before = ImpressionLog(Slow(), None, 1e9), lost()

    async def scene():
        log.note(query())
        following = asyncio.create_task(log.follow())
        await asyncio.sleep(0.5)
        following.cancel()

    asyncio.run(scene())
    assert written == []
    assert lost() - before == 1


def test_who_is_forgotten_while_their_slate_is_on_the_way_is_not_logged(monkeypatch, ranked):
    """Ranking has it already; the store never gets it."""
    written = []

    class Taking(Users):
        async def add_impressions(self, shown):
            written.extend(shown)

    log = ImpressionLog(Taking(), None, 1e9)

    async def forgetting(*_):
        log.forget(USER)
        return np.zeros(1)

    monkeypatch.setattr(impressions, "answered", forgetting)

    async def scene():
        log.note(query())
        log.note(query("another"))
        following = asyncio.create_task(log.follow())
        await asyncio.sleep(0.1)
        following.cancel()

    monkeypatch.setattr(impressions, "BATCH", 1)
    asyncio.run(scene())
    assert written == [("another", b"shown")]


def test_the_second_look_is_later_than_any_slate():
    """One may wait, then be asked for, then be written."""
    assert LOGGED_WITHIN > 3 * STEP_SECONDS


def test_a_full_store_is_looked_into_again(soon):
    """It refuses once it has marked what it can, and another process may log a slate as well."""
    users = Users(full=True)

    async def scene():
        verbs = UserVerbs(users)
        with pytest.raises(StoreFull):
            await verbs.forget(USER)
        await verbs.finish()

    asyncio.run(scene())
    assert users.told == ["user", "impressions"]


SERVED = SimpleNamespace(id="g1", manifest=SimpleNamespace(user_buckets=1), spec=SimpleNamespace(event_types=()))


def test_one_sweep_is_for_all_who_are_merged_before_it(soon):
    """A pass over the streams costs the store much; one that fails is tried again."""
    users = Users(full=True)

    async def scene():
        verbs = UserVerbs(users)
        await asyncio.gather(*(verbs.merge(user, "login", SERVED) for user in "abc"))
        while users.told.count("swept a, b, c") < 2:
            await asyncio.sleep(0.01)
        await verbs.merge("d", "login", SERVED)
        await verbs.finish()

    asyncio.run(scene())
    assert users.told == [f"merged {user}" for user in "abc"] + ["swept a, b, c"] * 2 + ["merged d", "swept d"]


def test_a_gateway_that_closes_sweeps_first(soon, monkeypatch):
    """It waits until no process has anything of the merged user to log, and no longer."""
    monkeypatch.setattr("service.verbs.users.SWEEP_SECONDS", 1e6)
    users = Users()

    async def scene():
        one = UserVerbs(users)
        await one.merge("a", "login", SERVED)
        await one.finish()

    asyncio.run(scene())
    assert users.told == ["merged a", "swept a"]


def test_what_began_is_finished(soon):
    """A call that is cancelled, as one past its deadline over gRPC, leaves nobody half forgotten."""

    class Slow(Users):
        async def forget_user(self, user):
            self.told.append("begun")
            await asyncio.sleep(0.05)
            await super().forget_user(user)

    users = Slow()

    async def scene():
        verbs = UserVerbs(users)
        call = asyncio.create_task(verbs.forget(USER))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await verbs.finish()

    asyncio.run(scene())
    assert users.told == ["begun", "user", "impressions"]


def test_a_gateway_that_closes_looks_first(soon):
    """Its second look comes before it lets go of the store."""
    users = Users()

    async def scene():
        one = recommender(users)
        await one.forget(USER)
        await one.finish()
        await one.close()

    asyncio.run(scene())
    assert users.told == ["user", "impressions", "closed"]


def test_what_waits_to_be_logged_is_forgotten(soon, log):
    """As a number or as text; the neighbour's stay."""
    for user in (7, "7", "8"):
        log.note(query(user))

    asyncio.run(recommender(Users(), log=log).forget("7"))
    assert [query.user_id for query, _ in log._waiting] == ["8"]
