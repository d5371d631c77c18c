"""The OpenAPI document, from the models that validate."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import schema

VERBS: dict[str, dict[str, tuple[str, type[BaseModel] | tuple[type[BaseModel], ...], Any]]] = {
    "/recommend": {
        "post": (
            "Recommend a slate for one user, or for each of several",
            (schema.RecommendResponse, schema.SlatesResponse),
            schema.RecommendRequest,
        )
    },
    "/similar": {"post": ("Similar items, the likest first", schema.SimilarResponse, schema.SimilarRequest)},
    "/explain": {
        "post": ("Explain where an item stands in a slate", schema.ExplainResponse, schema.ExplainRequest),
    },
    "/events": {
        "post": ("Store what users did", schema.EventsResponse, (schema.EventsRequest, schema.Event)),
    },
    "/items": {"put": ("Put items that can be recommended at once", schema.ItemsResponse, schema.ItemsRequest)},
    "/users/{user_id}": {
        "get": ("Show what is stored of a user", schema.UserResponse, None),
        "delete": ("Forget a user: nothing that is stored names them any more", schema.ForgottenResponse, None),
    },
    "/status": {"get": ("Status of what is live", schema.StatusResponse, None)},
}
"""By path and method: what it does, what it gives, what it takes."""

TIMED = ("/recommend", "/similar", "/explain")
"""Verbs that answer by a deadline."""


def openapi() -> dict[str, Any]:
    """The document."""
    told = [told for methods in VERBS.values() for _, gives, takes in methods.values() for told in (gives, takes)]
    models: list[type[BaseModel]] = [
        *dict.fromkeys(each for some in told for each in _each(some)),
        schema.ErrorResponse,
    ]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tandem", "version": "1", "description": "A two-stage recommender."},
        "paths": {
            path: {method: _operation(path, *told) for method, told in methods.items()}
            for path, methods in VERBS.items()
        },
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(path: str, summary: str, gives: Any, takes: Any) -> dict[str, Any]:
    errors = {"4XX": "The request is wrong; the field and the fix.", "503": "Nothing can be served now."}
    body = {"requestBody": {"required": True, **_content(takes)}} if takes else {}
    return {
        "summary": summary,
        "operationId": summary.split()[0].lower() + ("_" + path.strip("/").split("/")[0] if "{" in path else ""),
        "parameters": _parameters(path),
        **body,
        "responses": {
            "200": {"description": "OK", **_content(gives)},
            **{code: {"description": text, **_content(schema.ErrorResponse)} for code, text in errors.items()},
        },
    }


def _parameters(path: str) -> list[dict[str, Any]]:
    if path in TIMED:
        about = "Milliseconds the answer may take; what is not there by then is left out, and `degraded` names it."
        number = {"type": "integer", "minimum": 1, "maximum": 999_999}
        return [{"name": "x-deadline-ms", "in": "header", "required": False, "description": about, "schema": number}]
    if "{user_id}" in path:
        text = {"type": "string", "minLength": 1, "maxLength": 256}
        return [{"name": "user_id", "in": "path", "required": True, "schema": text}]
    return []


def _content(told: Any) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in _each(told)]
    return {
        "content": {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}
    }


def _each(told: Any) -> tuple[type[BaseModel], ...]:
    return told if isinstance(told, tuple) else (told,) if told else ()
