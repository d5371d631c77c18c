"""The rows that drift is computed of: one item of one slate of each user."""

import numpy as np

from tests.sample_data.served_slates import DAY, slates
from training.export.training_slates import PLACES, draw


def test_one_row_for_each_user_from_the_first_places():
    """Rows are independent; a slate's first item and the score relative to its slate are known of each row."""
    rows = draw(slates(), 0.0, DAY, 7)
    assert rows["user_id"].is_unique
    assert set(rows["place"]) == set(range(PLACES))
    shown = slates()
    assert set(rows["first_item"]) <= {*shown[shown["place"] == 0]["item_id"]}
    of_slate = shown[(shown["impression"] == rows["impression"][0]) & (shown["place"] < PLACES)].set_index("place")
    row = rows.iloc[0]
    assert np.isclose(row["score"], of_slate["score"][row["place"]] - of_slate["score"].mean())
    assert row["first_item"] == of_slate["item_id"][0]
    again = draw(slates().sample(frac=1, random_state=1), 0.0, DAY, 7)
    assert sorted(again["impression"] + again["item_id"]) == sorted(rows["impression"] + rows["item_id"])


def test_a_week_has_users_who_come_as_often_as_those_of_a_day():
    """A draw from all users of a week would have 0.6 of users who come daily; a day has 0.88."""
    of_day, of_week = (draw(slates(4_000), 0.0, DAY, windows)["user_id"] for windows in (1, 7))
    daily = [np.mean(users.str[1:].astype(int) % 2) for users in (of_day, of_week)]
    assert abs(daily[0] - daily[1]) < 0.06
    assert min(daily) > 0.8
