"""The OpenAPI document of a deployment that asks for keys."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from service.auth.guard import SCOPES, unauthenticated
from service.http.openapi import openapi

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "authorization: Bearer KEY"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}

REFUSALS = {
    "401": str(unauthenticated()),
    "403": "The key is not for this, or for other users than the request names.",
    "429": "The key asks too often, or too many requests wait.",
}


@cache
def openapi_with_keys() -> dict[str, Any]:
    """The document, with what a key must be for and what is said to the others."""
    document = deepcopy(openapi())
    document["components"]["securitySchemes"] = SCHEMES
    again = {"retry-after": {"schema": {"type": "integer", "minimum": 1}}}
    for verb, scope in SCOPES.items():
        operation = document["paths"][verb.path][verb.method.lower()]
        operation["security"] = [{name: [scope.value]} for name in SCHEMES]
        error = operation["responses"]["503"]["content"]
        for status, told in REFUSALS.items():
            headers = {"headers": again} if status == "429" else {}
            operation["responses"][status] = {"description": told, **headers, "content": error}
    return document
