"""An experiment is ramped up and rolled back under load over real processes: no answer fails or is of another arm."""

from tests.judged_load.ramp_under_load import RampUnderLoad


def test_a_ramp_and_its_rollback_are_seen_by_the_right_users_alone(served):
    """Users with a list get the list of their arm. Slates are computed again from the folders of the generations."""
    figures = RampUnderLoad(served).run((0.0, 0.05, 0.5, 1.0, 0.0), seconds=5.0, rate=30.0)
    assert (figures.failed, figures.mixed, figures.wrong_arm, figures.away) == (0, 0, 0, 0), figures
    assert figures.from_lists > figures.requests / 4
    assert figures.of_arm > figures.requests / 5
