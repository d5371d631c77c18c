"""Reasons in words: what tells an item from the other candidates, and which of the user's items it follows."""

import pytest

from recsys.model.features import names
from service import schema
from service.explorer.reasons import reasons
from tests.fakes.in_process import InProcessService


@pytest.fixture(scope="module")
def answered(tiny_world):
    """A query of a user with a history, with its slate."""
    world = InProcessService(tiny_world[0])
    return world.run(world.query(deadline=60, traced=True))


def words(query, row, *features, mean=1.0):
    """The reasons from features given as name, value and relative contribution; all have the same mean value."""
    made = [schema.Feature(name=name, value=value, contribution=9.0, relative=part) for name, value, part in features]
    return [each.words for each in reasons(query, row, made, {each.name: mean for each in made})]


def votes(query, row, table):
    """The votes of the user's items for an item, the newest first: title and weight."""
    neighbours, past = getattr(query.generation.tables, table), query.history[0][::-1].tolist()
    found = []
    for step, item in enumerate(past):
        weight = float(neighbours.weights[item][neighbours.rows[item] == row].sum()) * 0.9**step
        found.append((query.generation.title(item), weight))
    return found


@pytest.mark.parametrize(
    ("table", "feature", "begin"),
    [
        ("follow", "follow_0.5", "often taken right after "),
        ("covisit", "covisit_0.9", "often taken soon after "),
        ("covisit", "from_covisit", "often taken soon after "),
        ("ease", "ease_0.8", "goes together with "),
    ],
)
def test_a_neighbour_names_the_item_of_the_user_with_the_largest_vote(answered, table, feature, begin):
    """By its title. Without a vote there is no such reason: a rank then is arbitrary."""
    for row in answered.items.tolist():
        title, weight = max(votes(answered, row, table), key=lambda each: each[1])
        assert words(answered, row, (feature, 2.0, 0.5)) == ([begin + title] if weight else [])


def test_each_own_column_is_a_reason(answered):
    """Its value and its difference to the history say the same; the name of a column may end as a rank does."""
    row = int(answered.items[0])
    features = ("own_list price", 2.0, 0.2), ("gap_list price", 9.0, 0.3), ("own_sales_rank", 2.0, -0.4)
    assert words(answered, row, *features) == [
        "its list price is above that of others",
        "against it: its sales_rank is above that of others",
    ]


def test_each_feature_of_a_candidate_has_words(answered):
    """Those of the query have none: they are the same for all candidates."""
    row = int(answered.items[0])
    features = names(answered.generation.spec)
    silent = [name for name in features if not any(words(answered, row, (name, value, 0.5)) for value in (0.0, 2.0))]
    assert silent == ["history_length", "wait", "gap"]
