"""Which arms a request gets: by audience, time, halts, the caller, and a person who forces an arm."""

import pytest

from recsys.errors import QueryError
from recsys.experiments.assigned_arms import NO_ARMS
from recsys.experiments.definition import checked
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.experiments.running_experiments import RunningExperiments

NOW = 1_000_000_000.0


def running(*definitions, halts=None, status="running", ramp=1.0):
    """The experiments of these definitions, each with one arm `new` of all users unless it states its arms."""
    checked_ones = [checked({"arms": {"new": {"share": 1.0, "generation": "g2"}}} | each) for each in definitions]
    experiments = {each.name: Experiment(definition=each, status=status, ramp=ramp) for each in checked_ones}
    return RunningExperiments(ExperimentsDocument(version=1, experiments=experiments), halts)


def assigned(experiments, user=7, surface="home", context=None, now=NOW, named=None):
    return experiments.assign(user, surface, context or {}, now, named or {})


def test_an_audience_is_of_surfaces_and_of_values_of_the_context():
    """A request outside the audience takes part in nothing."""
    found = running({"name": "one", "audience": {"surfaces": ["home"], "context": {"device": ["tv", "phone"]}}})
    assert assigned(found, context={"device": "tv"}).arms == {"one": "new"}
    assert assigned(found, context={"device": "tv"}).generation == "g2"
    assert assigned(found, context={"device": "tv"}, surface="feed") == NO_ARMS
    assert assigned(found, context={"device": "car"}) == assigned(found) == NO_ARMS


@pytest.mark.parametrize("status", ["draft", "paused", "stopped"])
def test_an_experiment_that_does_not_run_gives_nobody_an_arm(status):
    """Its generations are held during a pause alone, so that users have their arms again with the next start."""
    found = running({"name": "one"}, status=status)
    assert assigned(found) is NO_ARMS
    assert found.generations(NOW) == (("g2",) if status == "paused" else ())


def test_arms_have_users_between_start_and_end_and_their_generation_is_held_before_the_start():
    """So the generation is warm when the first user comes."""
    found = running({"name": "one", "start": "2001-09-09T02:00:00Z", "end": "2001-09-09T03:00:00Z"})
    moments = [(NOW, False, True), (NOW + 1000, True, True), (NOW + 5000, False, False)]
    for now, takes_part, held in moments:
        assert bool(assigned(found, now=now).arms) == takes_part
        assert bool(found.generations(now)) == held


def test_an_arm_that_a_gateway_halts_keeps_its_users_and_its_generation_is_not_held():
    """They get the control with a note. A user who moved to the control would have slates of two arms in a report."""
    halts = {("one", "new"): "Refused.", ("flag", "new"): "Refused."}
    found = running({"name": "one"}, {"name": "flag", "assignment": "caller"}, {"name": "two"}, halts=halts)
    both = assigned(found, named={"flag": "new"})
    assert both.arms == both.assignment == {"one": "new", "flag": "new", "two": "new"}
    assert (both.away, [*both.served], both.exposures) == (("one", "flag"), ["two"], {"two": "new"})
    assert found.generations(NOW) == ("g2",)


def test_experiments_of_two_layers_each_change_their_part():
    """A list of both is made by no flow, so its variant is that of none."""
    arm = {"share": 1.0, "candidates": 50}
    found = running(
        {"name": "one"},
        {"name": "two", "arms": {"few": arm | {"mode": "realtime"}}},
        {"name": "three", "arms": {"a": {"share": 1.0, "rules": {"exclude_seen": False}}}},
    )
    both = assigned(found)
    assert (both.generation, both.candidates, both.mode) == ("g2", 50, "realtime")
    assert both.list_variant == "three.a+two.few"
    away = both.without_generation()
    assert (away.generation, away.candidates, away.away) == (None, 50, ("one",))
    assert away.exposures == {"two": "few", "three": "a"}
    assert away.assignment == {"one": "new", "two": "few", "three": "a"}


class TestArmsOfTheCaller:
    FOUND = running({"name": "one"}, {"name": "flag", "assignment": "caller"}, ramp=0.0)

    def test_an_arm_is_taken_where_the_experiment_says_so(self):
        """The ramp does not apply: the caller's flag system has its own. A user without a named arm takes no part."""
        assert assigned(self.FOUND, named={"flag": "new"}).generation == "g2"
        assert assigned(self.FOUND, named={"flag": "control"}).arms == {"one": "control", "flag": "control"}
        assert assigned(self.FOUND).arms == {"one": "control"}

    @pytest.mark.parametrize(
        ("named", "words"),
        [
            ({"one": "new"}, 'assigns users by its salt. Leave this field out, or .* assignment = "caller"'),
            ({"two": "new"}, "There is no experiment 'two'; there is one, flag."),
            ({"flag": "old"}, "The experiment flag has no arm 'old'; it has control, new."),
        ],
    )
    def test_a_wrong_arm_is_an_error_with_its_field(self, named, words):
        """A sentence with the fix."""
        with pytest.raises(QueryError, match=words) as error:
            self.FOUND.check_named(named)
        assert error.value.field == f"arms.{next(iter(named))}"


class TestForcedArm:
    def test_a_forced_arm_is_served_alone_and_is_no_exposure(self):
        """At any ramp and in any audience; other experiments give the control."""
        found = running({"name": "one", "audience": {"surfaces": ["feed"]}}, {"name": "two"}, ramp=0.0)
        forced = found.force("one", "new", "x-tandem-arm")
        assert (forced.arms, forced.generation) == ({"one": "new"}, "g2")
        assert forced.exposures == forced.assignment == {}
        assert found.force("one", "control", "x-tandem-arm").generation is None
