"""Slates that explore: their probabilities are exact, they obey every rule, and their record draws them again."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from recsys.lists import exploration_record
from recsys.rules import parse
from recsys.rules.exploration import DrawPolicy, draw, draw_probabilities, random_numbers
from tests.fakes.plain_slate import Catalogue, admitted, slate
from tests.unit.rules.test_selection import TEXTS, worlds

POLICIES = st.builds(
    DrawPolicy, st.floats(0.05, 5), st.sampled_from([0.0, 0.3]), st.just(20), st.integers(0, 2**64 - 1)
)
NINE = Catalogue([["Drama"]] * 3 + [["Comedy"]] * 3 + [["Action"]] * 3)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 12), TEXTS, POLICIES)
def test_each_place_is_drawn_among_what_the_rules_admit(drawn, k, text, policy):
    """The plain implementation admits the same candidates, and takes the same items where it admits none."""
    world, items, scores = drawn
    made = slate(world, items, scores, k, text, explore=policy)
    draws, expected = made.exploration, admitted(world, items, scores, k, parse(text), made.items)
    assert made.items == [*expected]
    assert (draws is None) == (not items)
    if draws is None:
        return
    for place, among in enumerate(expected.values()):
        chances = draws.probabilities(place)
        assert {draws.items[at] for at in np.flatnonzero(draws.admitted[place])} == {*among}
        assert not chances[~draws.admitted[place]].any()
        assert chances.sum() == pytest.approx(1 if among else 0, abs=1e-12)
        shown = draws.items.index(made.items[place]) if among else None
        assert draws.propensities[place] == (chances[shown] if among else 1)


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(1, 12), TEXTS, POLICIES)
def test_a_replay_gives_the_same_slate(drawn, k, text, policy):
    """The same inputs give the same slate, traced or not, and so does the record alone after it was stored."""
    world, items, scores = drawn
    assume(items)
    made = slate(world, items, scores, k, text, explore=policy)
    again = slate(world, items, scores, k, text, traced=False, explore=policy)
    assert (again.items, again.moved_by) == (made.items, made.moved_by)
    stored = exploration_record.unpack(exploration_record.pack(made.exploration))
    for name in type(stored).__slots__:
        np.testing.assert_array_equal(getattr(stored, name), getattr(made.exploration, name))
    for at, item in zip(stored.drawn(), made.items, strict=True):
        assert at < 0 or stored.items[at] == item


def test_a_million_draws_match_the_probabilities():
    """Counts of 10,000 seeds with 100 numbers each, by chi-square."""
    values, uncertain = np.linspace(2, -2, 30, dtype=np.float32), np.arange(30) % 7 == 6
    chances = draw_probabilities(values, uncertain, 0.8, 0.1)
    numbers = [random_numbers(seed, 100) for seed in range(10_000)]
    counts = np.bincount([draw(chances, number) for number in np.concatenate(numbers)], minlength=30)
    assert chisquare(counts, chances * 1e6).pvalue > 1e-3


def test_uncertain_items_are_drawn_at_their_share():
    """Rows 1 and 3 have one interaction. Each has the score's probability, and half of the share."""
    made = slate(NINE, [0, 1, 2, 3], [9, 1, 9, 1], 1, "", explore=DrawPolicy(0.01, 0.3, 20, 0))
    chances = dict(zip(made.exploration.items, made.exploration.probabilities(0), strict=True))
    assert chances == pytest.approx({0: 0.35, 2: 0.35, 1: 0.15, 3: 0.15})


def test_an_item_that_was_drawn_says_so():
    """The slate names the draw where another item than the best has the place, and what came before what it lacks."""
    made = slate(NINE, [0, 1, 3], [1, 1, 1], 2, "", explore=DrawPolicy(1.0, 0.0, 20, 5))
    assert made.items != [0, 1]
    assert ("explore",) in made.moved_by.values()
    assert "explore" in " ".join(made.passed_over.values())
