"""The OpenAPI document, from the models that validate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import schema
from service.deadline import HEADER, MOST_MS
from service.schema.verbs import TIMED
from service.schema.verdict import MAX_BODY

ABOUT = (
    "A two-stage recommender. Bodies are JSON in UTF-8; of a name that an object holds twice, the last counts. "
    'Ids are strings or integers, and 7 and "7" are the same one; in a path every id is text, percent-encoded. '
    "An integer is written without a point: 2.0 is none. Every error has a code, a sentence and, where one is to "
    "blame, the field."
)


@dataclass(frozen=True)
class Operation:
    """What a verb does, gives and takes, and with which statuses of its own it may refuse."""

    summary: str
    gives: tuple[type[BaseModel], ...]
    takes: tuple[type[BaseModel], ...] = ()
    refuses: tuple[int, ...] = ()


VERBS: dict[str, dict[str, Operation]] = {
    "/recommend": {
        "post": Operation(
            "Recommend a slate for one user, or for each of several",
            (schema.RecommendResponse, schema.SlatesResponse),
            (schema.RecommendRequest,),
            (429,),
        )
    },
    "/similar": {
        "post": Operation(
            "Similar items, the likest first; no rule moves them",
            (schema.SimilarResponse,),
            (schema.SimilarRequest,),
            (404,),
        )
    },
    "/explain": {
        "post": Operation(
            "Explain where an item stands in a slate", (schema.ExplainResponse,), (schema.ExplainRequest,), (404,)
        )
    },
    "/events": {
        "post": Operation("Store what users did", (schema.EventsResponse,), (schema.EventsRequest, schema.Event))
    },
    "/items": {
        "put": Operation(
            "Put items that can be recommended at once", (schema.ItemsResponse,), (schema.ItemsRequest,), (409,)
        )
    },
    "/items/{item_id}": {
        "get": Operation("Show what is known of an item", (schema.ItemResponse,), refuses=(404, 422)),
        "delete": Operation(
            "Forget what was put of an item; its generation's tables hold again",
            (schema.ForgottenItemResponse,),
            refuses=(404, 422),
        ),
    },
    "/users/{user_id}": {
        "get": Operation("Show what is stored of a user", (schema.UserResponse,), refuses=(422,)),
        "delete": Operation(
            "Forget a user: nothing that is stored names them any more", (schema.ForgottenResponse,), refuses=(422,)
        ),
    },
    "/users/{user_id}/merge": {
        "post": Operation(
            "Merge a user into another, who gets the events of the first", (schema.MergedResponse,), (schema.MergeBody,)
        )
    },
    "/status": {"get": Operation("Status of what is live", (schema.StatusResponse,))},
}
"""By path and method."""

OF_BODIES = (400, 408, 413, 415, 422)
"""Statuses with which any body may be refused."""

REFUSALS = {
    400: "The body is not valid JSON.",
    404: "The live generation does not know the item.",
    408: "The body did not come in time.",
    409: "No more items are kept until a generation is trained that knows them.",
    413: f"The body is larger than {MAX_BODY:,} bytes.",
    415: "The body is not application/json.",
    422: "A field is wrong; the field and the fix.",
    429: "Too many requests wait.",
    503: "Nothing can be served now, or the store can't be reached.",
}


@cache
def openapi() -> dict[str, Any]:
    """The document."""
    operations = [operation for methods in VERBS.values() for operation in methods.values()]
    told: list[type[BaseModel]] = [schema.ErrorResponse]
    told += [model for each in operations for model in (*each.gives, *each.takes)]
    _, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(told)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tandem", "version": "1", "description": ABOUT},
        "paths": {
            path: {method: _operation(path, told) for method, told in methods.items()}
            for path, methods in VERBS.items()
        },
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(path: str, told: Operation) -> dict[str, Any]:
    name = told.summary.split()[0].lower() + ("_" + path.strip("/").split("/")[0] if "{" in path else "")
    body = {"requestBody": {"required": True, **_content(*told.takes)}} if told.takes else {}
    statuses = sorted({*told.refuses, *(OF_BODIES if told.takes else ()), 503})
    return {
        "summary": told.summary,
        "operationId": name,
        "parameters": _parameters(path),
        **body,
        "responses": {
            "200": {"description": "OK", **_content(*told.gives)},
            **{str(status): _refusal(status) for status in statuses},
        },
    }


def _refusal(status: int) -> dict[str, Any]:
    again = {"description": "Seconds after which another try may help.", "schema": {"type": "integer", "minimum": 1}}
    headers = {"headers": {"retry-after": again}} if status in {429, 503} else {}
    return {"description": REFUSALS[status], **headers, **_content(schema.ErrorResponse)}


def _parameters(path: str) -> list[dict[str, Any]]:
    if path in {verb.path for verb in TIMED}:
        about = "Milliseconds the answer may take; what is not there by then is left out, and `degraded` names it."
        number = {"type": "integer", "minimum": 1, "maximum": MOST_MS}
        return [{"name": HEADER, "in": "header", "required": False, "description": about, "schema": number}]
    text = {"type": "string", "minLength": 1, "maxLength": 256}
    named = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in named]


def _content(*models: type[BaseModel]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {
        "content": {"application/json": {"schema": references[0] if len(references) == 1 else {"anyOf": references}}}
    }
