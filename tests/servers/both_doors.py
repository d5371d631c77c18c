"""Sends the same request to both doors of the service, its HTTP and gRPC servers, for tests that compare errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import grpc
import httpx

from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.recommend.deadlines import HEADER
from service.schema.verb_table import Verb
from tandem_client.messages import request_of
from tests.servers.deployment import Deployment

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"]
OK = {"code": "ok"}
"""The verdict on a valid request."""

Verdict = dict[str, str]


def verdict(answer: httpx.Response) -> Verdict:
    """The error of an answer over HTTP, or OK; an answer with another status than 200 or 4xx fails."""
    assert answer.headers["content-type"] == "application/json", answer.text
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    return OK if answer.is_success else answer.json()["error"]


class BothDoors:
    """Sends requests to a deployment over HTTP and gRPC; a verdict is the error of a request, or OK."""

    def __init__(self, deployment: Deployment) -> None:
        self._http = httpx.Client(base_url=deployment.url, timeout=30)
        self._grpc = grpc.insecure_channel(deployment.grpc)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._grpc.close()

    def verdicts(
        self, verb: Verb[Any], values: Mapping[str, Any], deadlines: Sequence[str] = ()
    ) -> tuple[Verdict, Verdict]:
        """The verdicts over HTTP and over gRPC. deadlines: values of x-deadline-ms."""
        data = request_of(verb.rpc, values).SerializeToString()
        headers = [(HEADER, deadline) for deadline in deadlines]
        return self.http(verb, json.dumps(values).encode(), values, headers), self.grpc(verb, data, headers)

    def http(
        self, verb: Verb[Any], data: bytes, values: Mapping[str, Any] = {}, headers: Sequence[tuple[str, str]] = ()
    ) -> Verdict:
        """The verdict on this body, or on the user or item that the values name where the path does."""
        return verdict(self.answer(verb, data, values, headers))

    def answer(
        self, verb: Verb[Any], data: bytes, values: Mapping[str, Any] = {}, headers: Sequence[tuple[str, str]] = ()
    ) -> httpx.Response:
        """The answer over HTTP to the same."""
        path, body = verb.path, {"content": data, "headers": [("content-type", "application/json"), *headers]}
        if "{" in path:
            others = {name: value for name, value in values.items() if f"{{{name}}}" not in path}
            path = path.format(**{name: quote(str(each), safe="").replace(".", "%2E") for name, each in values.items()})
            body = body | {"content": json.dumps(others).encode()} if verb.has_body else {"headers": list(headers)}
        return self._http.request(verb.method, path, **body)

    def grpc(self, verb: Verb[Any], data: bytes, metadata: Sequence[tuple[str, str]] = ()) -> Verdict:
        """The verdict on this message."""
        call = self._grpc.unary_unary(f"/{SERVICE.full_name}/{verb.rpc}")
        try:
            call(data, timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            return json.loads(dict(error.trailing_metadata())["tandem-error-bin"])
        return OK
