"""The errors (exceptions) that the client raises when a call of a Tandem server fails, as a tree of classes.

ClientError                 str(error) is a sentence; code is for programs; field names a wrong field
├── RequestRefused          the request is wrong
│   ├── NotFound            the user or the item of the request does not exist
│   └── NotAllowed          the key is missing, not valid, or lacks the scope
├── Overloaded              too many requests, of all clients or of this key  (tried again within the deadline)
├── Unavailable             no connection, or the service can't answer now    (tried again within the deadline)
├── DeadlineExceeded        no answer before the deadline
└── Broken                  the service failed, or the answer is not Tandem's
"""

from __future__ import annotations

from tandem_client.answers import ErrorBody


class ClientError(Exception):
    """Root of the tree. retry_after: seconds until another try may help, where the service sent them."""

    def __init__(self, body: ErrorBody, retry_after: float | None = None) -> None:
        super().__init__(body.message)
        self.code = body.code
        self.message = body.message
        self.field = body.field
        self.retry_after = retry_after


class RequestRefused(ClientError):
    """The request is wrong; `field` names the wrong field."""


class NotFound(RequestRefused):
    """The user or the item of the request does not exist."""


class NotAllowed(RequestRefused):
    """The key is missing, not valid, or lacks the scope."""


class Overloaded(ClientError):
    """Too many requests wait, or this key sends too many."""


class Unavailable(ClientError):
    """There is no connection, or the service can't answer now."""


class DeadlineExceeded(ClientError):
    """The deadline passed without an answer."""


class Broken(ClientError):
    """The service failed, or the answer is not one of Tandem's."""


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


def error_of(body: ErrorBody, default: type[ClientError], retry_after: float | None = None) -> ClientError:
    """The error of an answer. default: the class of the status, for a code without a class."""
    return _BY_CODE.get(body.code, default)(body, retry_after)


def unanswered(why: str) -> Unavailable:
    """The error of a call that has no connection."""
    return Unavailable(ErrorBody(code="unavailable", message=f"The service can't be reached: {why.rstrip('.')}."))


def too_late() -> DeadlineExceeded:
    """The error of a call whose deadline has passed."""
    return DeadlineExceeded(ErrorBody(code="deadline", message="No answer came before the deadline."))
