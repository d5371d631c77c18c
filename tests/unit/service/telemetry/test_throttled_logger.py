"""A warning that any request may cause does not fill the log."""

from service.telemetry.throttled_logger import ThrottledLogger


def test_it_logs_once_a_minute_with_the_number_of_warnings_between(caplog):
    """The number shows how frequent the fault is."""
    now = [100.0]
    throttled = ThrottledLogger("The result is unusable: %s.", clock=lambda: now[0])
    for _ in range(1_001):
        throttled.warn("100% gone")
    now[0] += 60.0
    throttled.warn("broken")
    now[0] += 60.0
    throttled.warn("broken again")
    assert [record.getMessage() for record in caplog.records] == [
        "The result is unusable: 100% gone.",
        "The result is unusable: broken. And 1,000 times more in the 60 s before.",
        "The result is unusable: broken again.",
    ]
