"""The response header x-tandem-freshness."""

from service import schema
from service.http.freshness_header import HEADER, freshness_header
from tests.fakes.fake_recommender import SIMILAR, STATUS, slate


def aged(**ages):
    """A slate with these ages."""
    freshness = schema.Freshness(**{"model": 60.0, "list": None, "trending": None, "event": None, **ages})
    return slate("you").model_copy(update={"freshness": freshness})


def test_the_header_has_the_oldest_of_each_part():
    """Parts that no slate was made from are left out."""
    assert freshness_header(aged(event=2.5)) == {HEADER: "model=60.0, event=2.5"}
    slates = schema.SlatesResponse(slates=[aged(list=7.0, event=2.5), aged(model=90.0, list=120.0)])
    assert freshness_header(slates) == {HEADER: "model=90.0, list=120.0, event=2.5"}


def test_answers_that_are_no_slates_have_no_header():
    """Such as the status."""
    assert freshness_header(STATUS) == freshness_header(SIMILAR) == {}
