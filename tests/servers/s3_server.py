"""Runs moto's S3 server on the loopback address for tests; it checks credentials and signatures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
from moto.server import ThreadedMotoServer

NAME = "my-shop"


@dataclass(frozen=True)
class Bucket:
    """A bucket: its client, and the variables with which a process may use it."""

    client: Any
    variables: dict[str, str]

    def put(self, key: str, data: bytes) -> str:
        """Store an object; its URL."""
        self.client.put_object(Bucket=NAME, Key=key, Body=data)
        return f"s3://{NAME}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with a prefix."""
        found = self.client.list_objects_v2(Bucket=NAME, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        return bytes(self.client.get_object(Bucket=NAME, Key=key)["Body"].read())


@contextmanager
def s3_server() -> Iterator[Bucket]:
    """The server with one bucket and one user, who may do everything."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        nobody = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        shared = {"endpoint_url": url, "region_name": "eu-central-1"}
        iam = boto3.client("iam", **shared, **nobody)
        iam.create_user(UserName="tandem")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="tandem", PolicyName="all", PolicyDocument=json.dumps(everything))
        key = iam.create_access_key(UserName="tandem")["AccessKey"]
        httpx.post(f"{url}/moto-api/reset-auth", content=b"0")  # from now on requests have to be signed
        identity = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        client = boto3.client("s3", **shared, **identity)
        client.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        variables = {name.upper(): value for name, value in identity.items()}
        yield Bucket(client, variables | {"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-central-1"})
    finally:
        server.stop()
