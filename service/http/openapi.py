"""The OpenAPI document of the HTTP API, made from the models that validate requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import schema
from service.auth.key_check import unauthenticated
from service.http import freshness_header
from service.http.operation_texts import IDS, OPERATIONS, TAGS, Examples
from service.recommend.deadlines import HEADER, MOST_MS
from service.schema import verb_table
from service.schema.verb_table import VERBS, Verb

ABOUT = """\
A two-stage recommender. The gRPC port has the same operations: `tandem.v1.Recommender`.

- Bodies are JSON in UTF-8. If an object has a name twice, the last value counts.
- Ids are strings or integers: `7` and `"7"` are the same id. An id in a path is percent-encoded text.
- The header `x-tandem-arm: experiment=arm` chooses an arm of a running experiment for a test, in `/recommend`,
  `/explain` and `/rank`. No report counts the answer. With keys the header needs the scope `admin`.
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

RETRY_AFTER = {
    "retry-after": {
        "description": "Seconds until another try may help.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

FRESHNESS = {
    "headers": {
        freshness_header.HEADER: {
            "description": "`freshness` of the answer as an RFC 8941 dictionary, such as `model=3600.0, event=2.4`; of "
            "several slates the oldest of each.",
            "schema": {"type": "string"},
        }
    }
}

TAKES: Mapping[Verb[Any], tuple[type[BaseModel], ...]] = {
    **{verb: (verb.takes,) for verb in VERBS if verb.has_body},
    verb_table.EVENTS: (schema.EventsRequest, schema.Event),
    verb_table.MERGE: (schema.MergeBody,),
}
"""Models of a body."""

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, as in `authorization: Bearer KEY`."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key, in a header of its own."},
}

REFUSALS_OF_KEYS = {
    401: str(unauthenticated()),
    403: "The key lacks the scope, or the request names users of another tenant.",
    429: "The key's rate is used up, or too many requests are waiting. Try again later.",
}


@cache
def openapi(keyed: bool = False) -> dict[str, Any]:
    """The document. keyed: whether requests need a key."""
    models: list[type[BaseModel]] = [schema.ErrorResponse]
    paths: dict[str, dict[str, Any]] = {}
    for verb in OPERATIONS:
        models += [*verb.gives, *TAKES.get(verb, ())]
        paths.setdefault(verb.path, {})[verb.method.lower()] = _operation(verb, keyed)
    _, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tandem", "version": "1", "description": ABOUT},
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "components": {"schemas": definitions["$defs"], **({"securitySchemes": SCHEMES} if keyed else {})},
    }


def _operation(verb: Verb[Any], keyed: bool) -> dict[str, Any]:
    about, takes, scope = OPERATIONS[verb], TAKES.get(verb, ()), verb.scope.value
    body = {"requestBody": {"required": True, **_content(*takes, examples=about.examples)}}
    refusals = {status: REFUSALS[status] for status in (*about.refuses, *(OF_BODIES if takes else ()), 503)}
    refusals |= REFUSALS_OF_KEYS if keyed else {}
    return {
        "tags": [about.tag],
        "summary": about.summary,
        "description": about.description + (f" The key needs the scope `{scope}`." if keyed else ""),
        "operationId": about.id,
        "parameters": _parameters(verb),
        **(body if takes else {}),
        **({"security": [{name: [scope]} for name in SCHEMES]} if keyed else {}),
        "responses": {
            "200": {"description": "OK", **_freshness(verb), **_content(*verb.gives)},
            **{str(status): _refusal(verb, status, refusals[status]) for status in sorted(refusals)},
        },
    }


def _refusal(verb: Verb[Any], status: int, about: str) -> dict[str, Any]:
    limits = {"most_bytes": verb.most_bytes, "most_values": verb.most_values}
    headers = {"headers": RETRY_AFTER} if status in {429, 503} else {}
    return {"description": about.format(**limits), **headers, **_content(schema.ErrorResponse)}


def _freshness(verb: Verb[Any]) -> dict[str, Any]:
    """The header of answers that are slates."""
    return FRESHNESS if any("freshness" in model.model_fields for model in verb.gives) else {}


def _parameters(verb: Verb[Any]) -> list[dict[str, Any]]:
    if verb.timed:
        about = "Milliseconds until the answer is due. `degraded` names the stages that were not done by then."
        number = {"type": "integer", "minimum": 1, "maximum": MOST_MS}
        return [{"name": HEADER, "in": "header", "required": False, "description": about, "schema": number}]
    text = {"type": "string", "minLength": 1, "maxLength": 256}
    named = re.findall(r"{(\w+)}", verb.path)
    return [{"name": name, "in": "path", "required": True, "example": IDS[name], "schema": text} for name in named]


def _content(*models: type[BaseModel], examples: Examples | None = None) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    content: dict[str, Any] = {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"content": {"application/json": content}}
