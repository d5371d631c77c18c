"""The OpenAPI document, from the models that validate requests."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import schema
from service.http.operations import IDS, OPERATIONS, TAGS, Examples, Operation
from service.recommend.deadlines import HEADER, MOST_MS
from service.schema.verbs import TIMED, WITH_BODY

ABOUT = """\
A two-stage recommender. The gRPC port has the same operations: `tandem.v1.Recommender`.

- Bodies are JSON in UTF-8. If an object has a name twice, the last value counts.
- Ids are strings or integers: `7` and `"7"` are the same id. An id in a path is percent-encoded text.
- An integer has no decimal point: `2.0` is refused.
- Every error has a code, a message and, where one field is wrong, the field.
- `GET /metrics` returns metrics for Prometheus. `GET /livez` and `GET /readyz` are the probes."""

OF_BODIES = (400, 408, 413, 415, 422)
"""Statuses with which any body may be refused."""

REFUSALS = {
    400: "The body is not valid JSON.",
    404: "The live generation does not know the item.",
    408: "The body did not arrive in time.",
    409: "No more items can be put until a training has added the items put so far.",
    413: "The body is larger than {most_bytes:,} bytes, or has more than {most_values:,} values.",
    415: "The content type of the body is not application/json.",
    422: "A field is wrong. The answer names the field and the fix.",
    429: "Too many requests are waiting. Try again later.",
    503: "No generation is live, or the store can't be reached.",
}

LIMITS = {verb.path: {"most_bytes": verb.most_bytes, "most_values": verb.most_values} for verb in WITH_BODY}

RETRY_AFTER = {
    "retry-after": {
        "description": "Seconds until another try may help.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


@cache
def openapi() -> dict[str, Any]:
    """The document."""
    operations = [operation for methods in OPERATIONS.values() for operation in methods.values()]
    models: list[type[BaseModel]] = [schema.ErrorResponse]
    models += [model for each in operations for model in (*each.gives, *each.takes)]
    _, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tandem", "version": "1", "description": ABOUT},
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": {
            path: {method: _operation(path, operation) for method, operation in methods.items()}
            for path, methods in OPERATIONS.items()
        },
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(path: str, operation: Operation) -> dict[str, Any]:
    body = {"requestBody": {"required": True, **_content(*operation.takes, examples=operation.examples)}}
    statuses = sorted({*operation.refuses, *(OF_BODIES if operation.takes else ()), 503})
    return {
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.id,
        "parameters": _parameters(path),
        **(body if operation.takes else {}),
        "responses": {
            "200": {"description": "OK", **_content(*operation.gives)},
            **{str(status): _refusal(path, status) for status in statuses},
        },
    }


def _refusal(path: str, status: int) -> dict[str, Any]:
    headers = {"headers": RETRY_AFTER} if status in {429, 503} else {}
    about = REFUSALS[status].format(**LIMITS.get(path, {}))
    return {"description": about, **headers, **_content(schema.ErrorResponse)}


def _parameters(path: str) -> list[dict[str, Any]]:
    if path in {verb.path for verb in TIMED}:
        about = "Milliseconds until the answer is due. `degraded` names the stages that were not done by then."
        number = {"type": "integer", "minimum": 1, "maximum": MOST_MS}
        return [{"name": HEADER, "in": "header", "required": False, "description": about, "schema": number}]
    text = {"type": "string", "minLength": 1, "maxLength": 256}
    named = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "example": IDS[name], "schema": text} for name in named]


def _content(*models: type[BaseModel], examples: Examples | None = None) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    content: dict[str, Any] = {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"content": {"application/json": content}}
