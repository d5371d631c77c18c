"""What is said of the embedded store while a service runs."""

from types import SimpleNamespace

from recsys.errors import StoreError
from service import serve


def test_its_end_and_its_return_are_said_once(monkeypatch):
    """That it was started again, and why it can't be."""
    monkeypatch.setattr(serve, "KEEP_SECONDS", 0)
    stop, said = SimpleNamespace(received=False), []
    outcomes = [False, True, False, StoreError("The disk is full."), StoreError("It is still full."), False]

    def keep():
        outcome = outcomes.pop(0)
        stop.received = not outcomes
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    serve._keep(SimpleNamespace(keep=keep), stop, said.append)
    assert said == [
        "the store was gone, and is started again.",
        "The disk is full. Serving goes on without what users did, and says so.",
        "the store answers again after 0 s.",
    ]
