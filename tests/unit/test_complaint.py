"""What is wrong all the time is said once in a while."""

import pytest

from service.complaint import Complaint


def test_it_is_said_once_a_second_with_how_often_it_was(caplog):
    """A log is nobody's to fill."""
    now = [100.0]
    complaint = Complaint("The stage was left out: %s.", 1.0, lambda: now[0])
    for _ in range(1_001):
        complaint.say("100% gone")
    now[0] += 1.0
    complaint.say("broken")
    now[0] += 1.0
    complaint.say("broken again")
    assert [record.getMessage() for record in caplog.records] == [
        "The stage was left out: 100% gone.",
        "The stage was left out: broken. And 1,000 times more in the 1 s before.",
        "The stage was left out: broken again.",
    ]


@pytest.mark.parametrize("error", [None, ZeroDivisionError("why")])
def test_a_traceback_goes_with_it_where_there_is_one(caplog, error):
    """Of the one that is said."""
    Complaint("It can't be used.").say(error=error)
    assert ("ZeroDivisionError: why" in caplog.text) == bool(error)
