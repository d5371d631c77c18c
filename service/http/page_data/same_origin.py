"""The check that a web page of another site did not send a request: browsers send such requests without consent.

A key in a header already proves it, because CORS is off. Where no key is needed, this check is the only proof.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

from recsys.errors import QueryError
from service.auth.start_checks import is_loopback
from service.http.bodies import KIND

OWN = ("same-origin", "none")
"""Values of sec-fetch-site for a page of this server and for a person who typed the address."""


def require_same_origin(headers: Headers, loopback: bool) -> None:
    """QueryError `forbidden` for a request of another site's page.

    loopback: whether the server listens on loopback alone. Then its host has a loopback name. Another name may be one
    of a page elsewhere, whose owner changed its address to this host's (DNS rebinding).
    """
    site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", "")
    foreign = site not in OWN if site else bool(origin) and _address(origin or "").netloc != host
    if foreign:
        raise QueryError("A page of another site sent this request. Use the page /operations.", code="forbidden")
    if loopback and not is_loopback(_address(f"//{host}").hostname or ""):
        sentence = "Without keys this needs a loopback address. Open the page at http://127.0.0.1:PORT/operations."
        raise QueryError(sentence, code="forbidden")
    if "content-type" not in headers:  # browsers send a page's request without one to other sites too
        raise QueryError(f"The body has no content type; send {KIND}.", code="media_type")


def _address(text: str) -> SplitResult:
    """The parts of an address; all empty for a text that is no address, such as `http://[`."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
