"""What a call of a client may raise.

ClientError                 str(error) is a sentence; code for programs, field where one is wrong
├── RequestRefused          the request is wrong: mend it
│   ├── NotFound            what it is about is not there
│   └── NotAllowed          the key is none, or not for this
├── Overloaded              too many wait, or this key asks too often      (tried again within the deadline)
├── Unavailable             nobody answers, or nothing can be served now   (tried again within the deadline)
├── DeadlineExceeded        no answer in time
└── Broken                  an answer that should not be
"""

from __future__ import annotations

from tandem_client.answers import ErrorBody


class ClientError(Exception):
    """Root of the tree; retry_after: seconds until another try may help, where the service says so."""

    def __init__(self, body: ErrorBody, retry_after: float | None = None) -> None:
        super().__init__(body.message)
        self.code = body.code
        self.message = body.message
        self.field = body.field
        self.retry_after = retry_after


class RequestRefused(ClientError):
    """The request is wrong; `field` names what to mend."""


class NotFound(RequestRefused):
    """What the request is about is not there."""


class NotAllowed(RequestRefused):
    """The key is not in force, or not for this; there may be none."""


class Overloaded(ClientError):
    """Too many requests wait, or this key asks too often."""


class Unavailable(ClientError):
    """Nobody answers, or nothing can be served now."""


class DeadlineExceeded(ClientError):
    """No answer came in time."""


class Broken(ClientError):
    """The service broke, or whoever answered is no deployment of Tandem."""


_BY_CODE: dict[str, type[ClientError]] = {
    "not_found": NotFound,
    "unauthenticated": NotAllowed,
    "forbidden": NotAllowed,
    "overloaded": Overloaded,
    "limited": Overloaded,
    "not_ready": Unavailable,
    "store": Unavailable,
    "unavailable": Unavailable,
    "deadline": DeadlineExceeded,
    "internal": Broken,
}


def told(body: ErrorBody, else_kind: type[ClientError], retry_after: float | None = None) -> ClientError:
    """The error that a service told of; else_kind: what its status means, for a code that has no kind of its own."""
    return _BY_CODE.get(body.code, else_kind)(body, retry_after)


def unanswered(why: str) -> Unavailable:
    """The error of a call that reached nobody."""
    return Unavailable(ErrorBody(code="unavailable", message=f"The service can't be reached: {why.rstrip('.')}."))


def too_late() -> DeadlineExceeded:
    """The error of a call whose time is up."""
    return DeadlineExceeded(ErrorBody(code="deadline", message="No answer came before the deadline."))
