"""What is wrong all the time is said once in a while."""

from service.complaint import REST_SECONDS, Complaint


def test_it_is_said_once_a_second_with_how_often_it_was(caplog):
    """A log is nobody's to fill."""
    now = [100.0]
    complaint = Complaint("The stage", lambda: now[0])
    for _ in range(1_001):
        complaint.say("was late.")
    now[0] += REST_SECONDS
    complaint.say("broke.")
    now[0] += REST_SECONDS
    complaint.say("broke again.")
    assert [record.getMessage() for record in caplog.records] == [
        "The stage was late.",
        "The stage broke. (1,000 times more since the last such line.)",
        "The stage broke again.",
    ]
