"""The OpenAPI document of a deployment that needs keys."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from service.auth.guard import SCOPES, unauthenticated
from service.http.openapi import RETRY_AFTER, openapi

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, as in `authorization: Bearer KEY`."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key, in a header of its own."},
}

REFUSALS = {
    "401": str(unauthenticated()),
    "403": "The key lacks the scope, or the request names users of another tenant.",
    "429": "The key's rate is used up, or too many requests are waiting. Try again later.",
}


@cache
def openapi_with_keys() -> dict[str, Any]:
    """The document, with the scope that each operation needs and the refusals of keys."""
    document = deepcopy(openapi())
    document["components"]["securitySchemes"] = SCHEMES
    for verb, scope in SCOPES.items():
        operation = document["paths"][verb.path][verb.method.lower()]
        operation["security"] = [{name: [scope.value]} for name in SCHEMES]
        operation["description"] += f" The key needs the scope `{scope.value}`."
        error = operation["responses"]["503"]["content"]
        for status, about in REFUSALS.items():
            headers = {"headers": RETRY_AFTER} if status == "429" else {}
            operation["responses"][status] = {"description": about, **headers, "content": error}
    return document
