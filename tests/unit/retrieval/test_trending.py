"""Trending items: items with events of many users in recent time."""

import pytest

from recsys.lists.trending_items import HALF_LIFE_SECONDS, WINDOW_SECONDS, trending_items
from recsys.model.event_types import EventRules
from recsys.model.feature_spec import FeatureSpec
from recsys.types import Event

NOW = 1.7e9
PLAIN = FeatureSpec(("",), {}, ())
SHOP = FeatureSpec(
    ("",),
    {},
    ("view", "purchase", "refund"),
    events=EventRules({"purchase": 10}, negative=("refund",), ignored=("scroll",)),
)


def by(item, *ages, first=0):
    """One event of each user, by its age in seconds."""
    return [Event(first + user, item, NOW - age) for user, age in enumerate(ages)]


def test_an_event_weighs_half_after_the_half_life():
    """The newest event of each user counts once."""
    events = [*by("a", 0, HALF_LIFE_SECONDS), Event(0, "a", NOW - 100), Event("0", "a", NOW - 200)]
    assert trending_items(events, NOW, PLAIN) == (("a", 1.5),)


def test_repeated_events_of_one_user_are_no_trend():
    """The ids 7 and "7" are one user."""
    assert trending_items([Event(7, "a", NOW), Event("7", "a", NOW), Event(7, "a", NOW - 5)], NOW, PLAIN) == ()


@pytest.mark.parametrize("age", [WINDOW_SECONDS + 1, -1])
def test_events_outside_the_window_do_not_count(age):
    """Neither old events nor events of a clock that is ahead."""
    assert trending_items(by("a", 0, age), NOW, PLAIN) == ()
    assert len(trending_items(by("a", 0, WINDOW_SECONDS - 1), NOW, PLAIN)) == 1


def test_a_refund_revokes_what_came_before_it():
    """The order of arrival does not matter; an event after the refund counts again."""
    bought = [Event(user, "a", NOW - 60, "purchase") for user in range(3)]
    assert trending_items(bought, NOW, SHOP) == (("a", pytest.approx(30, rel=1e-2)),)
    refunds = [Event(user, "a", NOW - 30, "refund") for user in range(2)]
    assert trending_items([*refunds, *bought], NOW, SHOP) == ()
    assert len(trending_items([*refunds, *bought, Event(0, "a", NOW, "view")], NOW, SHOP)) == 1
