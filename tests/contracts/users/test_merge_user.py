"""The merge of a user into another one: events move in one step, and the first user is deleted."""

from __future__ import annotations

import time
from typing import Any

import pytest

from recsys.errors import StoreError
from recsys.store.stored_types import UserMerge
from recsys.types import Event
from recsys.user_digest import digest_of
from tests.contracts.stores import Store, click, keys
from tests.contracts.users.test_forget_user import everything

ANON, LOGIN = "0123456789abcdef-before-the-login", "login"


def merge(store: Store, *more: Event, user: str | int = ANON, into: str | int = LOGIN) -> int:
    kept: int = store.users(lambda users: users.merge_user(user, into, more))
    return kept


def stored_events(store: Store, user: str | int = LOGIN) -> list[tuple[Any, ...]]:
    return [(event.item_id, event.timestamp, event.event_type) for event in store.read("g1", user)[0].events]


def now_of(user: str | int, into: str | int = LOGIN) -> UserMerge:
    """A merge of now."""
    return UserMerge(user, into, time.time())


def impressions(store: Store) -> list[tuple[str, bytes]]:
    return [(each.user, each.data) for each in store.flows.read_impressions()]


def test_events_move_in_the_order_of_time(store: Store) -> None:
    """The events of both users and the given ones are sorted by time, with type and context."""
    store.publish("g1")
    store.add(click("a", 2.0, user=ANON), click("b", 4.0, user=ANON, kind="purchase"))
    store.add(click("c", 6.5, user=ANON)._replace(context={"device": "mobile"}))
    store.add(click("x", 1.0, user=LOGIN), click("y", 3.0, user=LOGIN))
    assert merge(store, click("old", 0.5, user=ANON), click("c2", 5.0, user=ANON)) == 7
    expected = [("old", 0.5), ("x", 1.0), ("a", 2.0), ("y", 3.0), ("b", 4.0), ("c2", 5.0), ("c", 6.5)]
    assert [each[:2] for each in stored_events(store)] == expected
    assert [kind for _, _, kind in stored_events(store)] == ["click"] * 4 + ["purchase"] + ["click"] * 2
    events = store.read("g1", LOGIN)[0].events
    assert [dict(event.context) for event in events] == [{}] * 6 + [{"device": "mobile"}]
    assert {str(event.user_id) for event in events} == {LOGIN}
    assert stored_events(store, ANON) == []


def test_a_repeated_merge_changes_nothing(store: Store) -> None:
    """A client repeats a merge whose reply was lost."""
    store.add(click("a", 2.0, user=ANON), click("x", 1.0, user=LOGIN))
    trained = [click("old", 0.5, user=ANON), click("a", 2.0, user=ANON)]
    first, then = merge(store, *trained), stored_events(store)
    assert (first, len(then)) == (3, 3)
    assert merge(store, *trained) == 3
    assert merge(store) == 3
    assert stored_events(store) == then


def test_nothing_is_left(store: Store) -> None:
    """Records, lists and events of the user are deleted, log entries by `merge_streams`.

    The log has the moved events under the other user, who gets the impressions too.
    """
    store.publish("g1", {ANON: b"record", LOGIN: b"record of login"})
    store.publish("g2", {ANON: b"record"})
    store.flows.write_lists("g1", 2, {ANON: b"list", LOGIN: b"list of login"})
    store.add(click("a", user=ANON, name="e1"), click("b", user=ANON, kind="impression"), click("x", user=LOGIN))
    store.users(lambda users: users.add_impressions([(ANON, b"shown"), (LOGIN, b"shown to login")]))
    merge(store, click("old", 0.5, user=ANON))
    assert {key for key in keys(store) if ANON in key} == set()
    store.users(lambda users: users.merge_streams([now_of(ANON), now_of("nobody")]))
    noted = store.flows.read_deleted_users()
    assert [(user.digest, user.merged) for user in noted] == [(digest_of(ANON), True), (digest_of("nobody"), True)]
    for generation in ("g1", "g2"):
        (state,) = store.read(generation, ANON)
        assert (state.record, state.events, state.listed, state.lost) == (None, [], None, False)
    (other,) = store.read("g1", LOGIN)
    assert (other.record, other.listed) == (b"record of login", b"list of login")
    logged = [(str(each.event.user_id), each.event.item_id) for each in store.flows.read_log()]
    assert logged == [(LOGIN, "x"), (LOGIN, "a")]
    assert impressions(store) == [(LOGIN, b"shown"), (LOGIN, b"shown to login")]
    assert [text for text in everything(store) if ANON.encode() in text] == []


def test_impressions_keep_their_places_over_several_steps_of_the_copy(store: Store) -> None:
    """With those of other users between them; 7 and "7" are one user. A second merge changes nothing."""
    users = [("7", b"v"), ("8", b"o"), ("é", b"w")] * 400
    store.users(lambda opened: opened.add_impressions(users))
    before = [each.entry for each in store.flows.read_impressions(count=2_000)]
    for _ in range(2):
        store.users(lambda opened: opened.merge_streams([now_of(7), now_of("é", 9)]))
        found = store.flows.read_impressions(count=2_000)
        assert [each.entry for each in found] == before
        assert [(each.user, each.data) for each in found] == [(LOGIN, b"v"), ("8", b"o"), ("9", b"w")] * 400


def test_a_login_that_was_deleted_since_gets_no_impression(store: Store) -> None:
    """Between the merge and the pass over the stream. Another login gets those of its visitor."""
    store.users(lambda users: users.add_impressions([(ANON, b"shown"), ("other", b"of other"), ("else", b"of else")]))
    merges = [now_of(ANON), now_of("other", "other login")]
    store.users(lambda users: users.forget_user(LOGIN))
    store.users(lambda users: users.merge_streams(merges))
    assert impressions(store) == [("other login", b"of other"), ("else", b"of else")]


def test_impressions_in_a_full_store_move_later(store: Store) -> None:
    """The copy is refused, and nothing is lost: the gateway tries again."""
    store.users(lambda users: users.add_impressions([(ANON, b"shown")]))
    store.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match="is full"):
            store.users(lambda users: users.merge_streams([now_of(ANON)]))
    finally:
        store.client.config_set("maxmemory", 0)
    assert impressions(store) == [(ANON, b"shown")]
    store.users(lambda users: users.merge_streams([now_of(ANON)]))
    assert impressions(store) == [(LOGIN, b"shown")]


@pytest.mark.parametrize("ids", [(7, "login"), ("7", 8), ('"7",', "[7"), ("7,8", "é\n\\"), ("🙂", "7\ud800")])
def test_ids_of_any_kind(store: Store, ids: tuple[str | int, str | int]) -> None:
    """Numbers, text, quotes, commas and surrogates: other users are unchanged."""
    user, into = ids
    others = ["70", "7 ", "log", '"', "\\"]
    store.add(*(click(item, 1.0, user=each) for each in (user, *others) for item in ("a", "b")))
    big = [2**63 - 1, -(2**63), "7", 7, "\x00\ud800"]
    store.add(*(Event(user, item, 1e9 + 0.123456, "buy") for item in big))
    assert merge(store, user=user, into=into) == 2 + len(big)
    assert [event.item_id for event in store.read("g1", into)[0].events] == ["a", "b", *big]
    assert {event.timestamp for event in store.read("g1", into)[0].events[2:]} == {1e9 + 0.123456}
    assert all(len(stored_events(store, each)) == 2 for each in others)
    assert merge(store, user=str(user), into=str(into)) == 2 + len(big)
