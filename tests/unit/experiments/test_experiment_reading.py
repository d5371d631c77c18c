"""Rows of users from shown items, and what a reading of them says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.experiments.document import ExperimentsDocument
from training.experiments.day_sums import SHOWN, day_sums, slates_of
from training.experiments.experiment_page import assignment_table
from training.experiments.reading import ALL, read
from training.experiments.user_rows import UserRows, user_rows
from training.experiments.verdict import judge
from training.experiments.window import Window, window_of

DAY = 86_400.0
WINDOW = Window(since=100.0, until=200.0, before=0.0, start=50.0, shares={"control": 0.5, "new": 0.5})


def shown(*slates):
    """Shown items: two for each slate (user, time, types of events with the second item, arms, surface, assigned).

    Without another word the assigned arms are those that served the slate.
    """
    rows = []
    for number, (user, time, types, arms, *more) in enumerate(slates):
        place, assigned = (*more, *("home", arms)[len(more) :])
        for taken in ([], types):
            row = f"{number}", user, float(time), place, bool(taken), taken, arms, assigned
            rows.append(dict(zip(SHOWN.names, row, strict=True)))
    return pa.Table.from_pylist(rows, SHOWN)


def rows_of(*slates, targets=("buy",)):
    table = shown(*slates)
    return rows_of_days([pa.concat_tables([table, table])], targets)


def rows_of_days(tables, targets=(), window=WINDOW):
    return user_rows([day_sums(slates_of(table, targets), "look", window) for table in tables], window.groups)


class TestRows:
    def test_slates_clicks_and_conversions_of_a_user(self):
        """Each slate counts once, though two files have it; figures of before are beside those of the window."""
        rows = rows_of(
            ("a", 10, ["view"], ""),
            ("a", 60, ["view"], ""),
            ("a", 120, [], "other=x,look=new"),
            ("a", 150, ["view", "buy"], "look=new"),
            ("a", 160, ["view"], "look=new", "mail"),
            ("a", 250, ["view"], "look=new"),
            ("b", 110, [], "look=control"),
            ("c", 110, ["view"], "other=new"),
        )
        users = rows.of()
        assert users.index.tolist() == ["b", "a"]
        assert users.loc["a"].tolist() == ["new", 120.0, 3, 2, 1, 0, 1, 1, 0]
        assert users.loc["b"].tolist() == ["control", 110.0, 1, 0, 0, 0, 0, 0, 0]
        assert rows.of("mail").loc["a"].tolist() == ["new", 160.0, 1, 1, 0, 0, 0, 0, 0]
        assert rows.surfaces == ["home", "mail"]

    def test_users_of_two_arms_are_left_out_and_counted(self):
        """Also if the arms are on two surfaces; an arm that the experiment lacks is counted by slate."""
        rows = rows_of(
            ("a", 110, [], "look=new"),
            ("a", 120, [], "look=control", "mail"),
            ("b", 120, [], "look=control"),
            ("c", 120, [], "look=old"),
        )
        assert rows.of().index.tolist() == ["b"]
        assert (rows.crossed, rows.unknown) == (1, 1)

    def test_a_slate_that_the_control_made_in_place_of_an_arm_counts_for_the_arm(self):
        """Users are compared as they were assigned; the reading has how many slates and users were served otherwise."""
        rows = rows_of(
            ("a", 110, ["view"], "look=new"),
            ("a", 120, ["view"], "", "home", "look=new"),
            ("a", 130, [], "other=x", "mail", "other=x,look=new"),
            ("b", 120, [], "look=control"),
            ("c", 120, [], "", "home", "other=x"),
        )
        assert (rows.crossed, rows.unknown, rows.by) == (0, 0, "assigned")
        assert rows.of()[["slates", "clicks", "not_served"]].T.to_dict("list") == {"a": [3, 2, 2], "b": [1, 0, 0]}
        reading = read(rows, WINDOW, "click")
        figures = [(each.not_served_slates, each.not_served_users) for each in reading.segments[ALL].groups.values()]
        assert figures == [(0, 0), (2, 1)]
        table = assignment_table(reading)
        assert table.rows == [["control", "1", "0", "1", "0"], ["new", "3", "2", "1", "1"]]
        assert table.note.startswith("2 slates of 1 users were not served as assigned")
        assert reading.sample_ratio.users == {"control": 1, "new": 1}

    def test_slates_until_the_last_one_of_the_release_before_are_left_out(self):
        """Old and new gateways log at the same time during an upgrade: no report mixes both ways of counting."""
        days = [
            [("a", 110, ["view"], "look=new", "home", None), ("b", 120, [], "look=control")],
            [("a", 130, [], "look=new"), ("b", 140, [], "", "home", None), ("c", 135, [], "")],
            [("a", 150, ["view"], "", "home", "look=new"), ("b", 160, [], "look=control")],
        ]
        rows = rows_of_days([shown(*each) for each in days])
        figures = rows.of()[["slates", "not_served", "first"]].T.to_dict("list")
        assert figures == {"a": [1, 1, 150.0], "b": [1, 0, 160.0]}
        assert (rows.by, rows.assigned_since, rows.left_out) == ("assigned", 140.0, 3)
        sentence = judge(read(rows, WINDOW, "click")).sentence
        assert "Assignment is logged since 1970-01-01 00:02:20 UTC; the 3 slates before are left out." in sentence
        longer = replace(WINDOW, since=141.0)
        later = rows_of_days([shown(*each) for each in days], window=longer)
        assert (later.assigned_since, later.left_out) == (None, 0)
        nothing = rows_of_days([shown(*each) for each in days[:2]])
        assert (len(nothing.during), nothing.by, nothing.left_out) == (0, "assigned", 3)


def drawn(lift=0.0, users=4_000, share=0.5, before=True):
    """Rows of users of two groups, with a lift of the arm's click rate."""
    draw = np.random.default_rng(7)
    arm = draw.random(users) < share
    rate = draw.beta(2, 8, users)
    slates, past = 1 + draw.poisson(9, users), draw.poisson(30, users) * before
    table = pd.DataFrame({"user_id": np.arange(users).astype(str), "surface": "home"})
    clicks = draw.binomial(slates, rate * (1 + lift * arm))
    during = table.assign(arm=np.where(arm, "new", "control"), first=np.arange(users, dtype=float), slates=slates)
    during = during.assign(clicks=clicks, conversions=clicks // 2, not_served=0)
    earlier = draw.binomial(past, rate)
    return UserRows(during, table.assign(slates=past, clicks=earlier, conversions=earlier // 2, first=0.0), 0, 0)


class TestVerdict:
    @pytest.mark.parametrize(("lift", "word"), [(0.25, "better"), (-0.25, "worse"), (0.0, "no difference yet")])
    def test_a_lift_that_users_show(self, lift, word):
        """Better, worse, or bounds on both sides; the interval holds the lift that was drawn."""
        reading = read(drawn(lift), WINDOW, "click")
        verdict = judge(reading)
        assert verdict.words == {"new": word}
        measured = reading.segments[ALL].lifts["new"]["click"]
        assert measured.low < lift < measured.high
        assert measured.adjusted
        if word == "no difference yet":
            assert "are excluded" in verdict.sentence

    def test_the_period_before_narrows_the_interval(self):
        """CUPED where there is a period before, and the plain figures where there is none."""
        wide, narrow = (
            read(drawn(before=before), WINDOW, "click").segments[ALL].lifts["new"]["click"] for before in (False, True)
        )
        assert (wide.adjusted, narrow.adjusted) == (False, True)
        assert narrow.high - narrow.low < 0.9 * (wide.high - wide.low)

    def test_a_broken_sample_ratio_is_the_only_verdict(self):
        """56 % in place of half: the figures are not to be used. A caller's own assignment has no shares."""
        rows = drawn(0.25, share=0.56)
        verdict = judge(read(rows, WINDOW, "click"))
        assert verdict.words == {"new": "broken"}
        assert "not 2,000. Find the cause" in verdict.sentence
        assert judge(read(rows, WINDOW, "click", by_salt=False)).words == {"new": "better"}

    def test_users_of_two_arms_break_the_assignment(self):
        """One in a hundred users seen in both groups."""
        rows = drawn(0.25)
        crossing = UserRows(rows.during, rows.before, crossed=60, unknown=0)
        assert judge(read(crossing, WINDOW, "click")).words == {"new": "broken"}
        longer = replace(WINDOW, one_assignment=False)  # a ramp inside the window moves users
        assert judge(read(crossing, longer, "click")).words == {"new": "better"}


class TestWindow:
    def document(self, *steps):
        """An experiment of two arms after some changes, one a day from the first day on."""
        definition = checked({"name": "look", "arms": {"new": {"share": 0.5}, "other": {"share": 0.2}}})
        document = changes.create(ExperimentsDocument(), definition, DAY)
        for day, (step, *values) in enumerate(steps, 2):
            document = step(document, "look", *values, now=day * DAY)
        return document.experiments["look"]

    def test_it_begins_a_minute_after_the_last_change_of_shares(self):
        """The period before ends where the first user got an arm; shares are those of the last ramp."""
        found = window_of(self.document((changes.start,), (changes.ramp, 0.1), (changes.ramp, 0.5)), 9 * DAY)
        assert (found.since, found.until) == (4 * DAY + 60, 9 * DAY)
        assert (found.before, found.start) == ((3 - 28) * DAY, 3 * DAY)
        assert found.shares == pytest.approx({"control": 0.65, "new": 0.25, "other": 0.1})

    def test_after_a_stop_or_a_halt_of_all_arms_it_ends_there(self):
        """The report of a stopped experiment is that of its last ramp; a halt of one arm begins a window."""
        ramped = (changes.start,), (changes.ramp, 1.0)
        found = window_of(self.document(*ramped, (changes.pause,), (changes.stop,)), 9 * DAY)
        assert (found.since, found.until) == (3 * DAY + 60, 4 * DAY)
        halts = (changes.halt, "new", "It is slow."), (changes.halt, "other", "It is slow.")
        found = window_of(self.document(*ramped, *halts), 9 * DAY)
        assert (found.since, found.until) == (4 * DAY + 60, 5 * DAY)
        assert found.shares == pytest.approx({"control": 0.8, "other": 0.2})
