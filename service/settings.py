"""Every setting of the server: environment variable, default and description; read once, when a process starts."""

from __future__ import annotations

import sys
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.promises import stated_promises
from recsys.store.stored_types import IMPRESSION_LIMITS, LOG_LIMITS
from service.auth import key

STARTER = "TANDEM_STARTER"
"""The environment variable with the pid of `make serve`, for the process that it starts."""

MOST_SHOWN = 80
"""Characters of a wrong value that an error repeats."""


def _promised_deadline() -> int:
    """The latency promise of slo.toml, in milliseconds."""
    return stated_promises().recommend.deadline_ms


class Settings(BaseSettings):
    """Settings of the deployment. The variable is TANDEM_ and the name, unless the field has an alias."""

    model_config = SettingsConfigDict(env_prefix="TANDEM_", extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address of the HTTP and gRPC ports.")
    port: int = Field(3000, ge=1, le=65535, validation_alias="PORT", description="HTTP port.")
    grpc_port: int = Field(3001, ge=0, le=65535, validation_alias="GRPC_PORT", description="gRPC port; 0: no gRPC.")
    tls_cert: Path | None = Field(None, description="Certificate chain, PEM; HTTP and gRPC then serve TLS alone.")
    tls_key: Path | None = Field(None, description="Key of the certificate, PEM, without a password.")
    keys: str = Field(
        "", description="File of API keys; none: a proxy or a mesh guards the ports; not set: no key, loopback alone."
    )
    admin_host: str = Field("127.0.0.1", description="Address of the admin port.")
    admin_port: int = Field(
        3002, ge=0, le=65535, description="Port of all verbs, /metrics and the pages, if there are keys; 0: none."
    )
    admin_tls: bool = Field(False, description="Whether the admin port serves TLS, with the same certificate.")
    topology: Literal["split", "inline"] = Field(
        "split", description="split: retrieval and ranking run as services of their own; inline: inside the gateway."
    )
    retrieval_url: str = Field(
        "", description="Address of retrieval on another host, as http://host:port; not set: retrieval runs here."
    )
    ranking_url: str = Field("", description="Address of ranking on another host; not set: ranking runs here.")
    start_empty: bool = Field(
        False, description="Start although nothing is live or Redis does not answer; serve when a generation is live."
    )
    gateway_workers: int = Field(1, ge=1, le=64, description="Processes of the gateway.")
    retrieval_workers: int = Field(1, ge=1, le=64, description="Processes of retrieval.")
    ranking_workers: int = Field(1, ge=1, le=64, description="Processes of ranking.")
    drain_seconds: float = Field(
        0.0,
        ge=0,
        le=8,
        description="Seconds after SIGTERM in which /readyz fails and requests are answered, for load balancers.",
    )
    torch_threads: int = Field(1, ge=1, le=256, description="Threads of each process that runs a model.")
    deadline_ms: int = Field(
        default_factory=_promised_deadline,
        ge=1,
        le=999_999,
        description="Deadline of a request; default from slo.toml.",
    )
    max_batch: int = Field(32, ge=1, le=512, description="Requests merged into one call, at most.")
    max_in_flight: int = Field(
        2,
        ge=1,
        le=64,
        description="Batches in flight, at most, for each generation that answers and each class of deadlines.",
    )
    max_under_way: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Slates in flight in a gateway process, at most; the limit in force adapts to the load.",
    )
    list_fresh_seconds: float = Field(
        3600.0,
        ge=0,
        description="Age up to which mode auto serves a precomputed list as it is.",
    )
    list_usable_seconds: float = Field(
        86_400.0, ge=0, description="Age up to which mode auto ranks a precomputed list again, after few new events."
    )
    impressions_per_second: float = Field(
        20.0, ge=0, le=1e6, description="Slates a second that a gateway process logs with their features; 0: none."
    )
    impressions_mib: int = Field(
        IMPRESSION_LIMITS.bytes >> 20,
        ge=1,
        le=1_048_576,
        description="MiB of the store for logged slates that wait for flows drain; above it the oldest are removed, "
        "and counted.",
    )
    event_log_mib: int = Field(
        LOG_LIMITS.bytes >> 20,
        ge=1,
        le=1_048_576,
        description="MiB of the store for the log of events that trending and flows refresh read; above it the oldest "
        "are removed, and counted.",
    )
    traces: str = Field(
        "none",
        validation_alias="OTEL_TRACES_EXPORTER",
        description="Exporter of traces: none, console, otlp; other OTEL_* variables configure it (docs/tracing.md).",
    )
    prefect_api_url: str = Field(
        "",
        validation_alias="PREFECT_API_URL",
        description="API of the Prefect server that the page /operations starts promotions and rollbacks on.",
    )
    prefect_api_key: SecretStr = Field(
        SecretStr(""), validation_alias="PREFECT_API_KEY", description="Key for it, of Prefect Cloud."
    )
    prefect_api_auth_string: SecretStr = Field(
        SecretStr(""), validation_alias="PREFECT_API_AUTH_STRING", description="user:password for it, of a server."
    )
    poll_seconds: float = Field(
        1.5,
        gt=0,
        le=5,
        description="Seconds between two checks for a newly promoted generation, in addition to the store's messages. "
        "At most 5: a process that checks less often would count as ended.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_key(cls, value: object, field: ValidationInfo) -> object:
        if isinstance(value, str) and key.appears_in(value):
            name = field.field_name or ""
            wanted = "the path of the file of keys (python -m service keys add NAME makes one)"
            raise SettingsError(
                f"{variable(name)} holds what looks like an API key; it takes {wanted if name == 'keys' else 'none'}. "
                "Where others could have read it, replace that key: python -m service keys revoke NAME."
            )
        return value

    @field_validator("host")
    @classmethod
    def _is_address(cls, host: str) -> str:
        try:
            ip_address(host)
        except ValueError:
            raise SettingsError(
                f"TANDEM_HOST={host[:MOST_SHOWN]} is no IP address. Set one without a port, such as 127.0.0.1, or "
                "0.0.0.0 for all."
            ) from None
        return host

    @field_validator("retrieval_url", "ranking_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        """ValueError unless it is empty or the URL of a host."""
        if not url:
            return url
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "tcp") and parts.hostname and parts.port != 0
        except ValueError:  # the port is too high
            valid = False
        if not valid or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in url:
            one = ", one address; a name may stand for several hosts" if "," in url else ""
            raise ValueError(f"write it as http://host:port{one}")
        return url

    @field_validator("prefect_api_url")
    @classmethod
    def _is_api(cls, url: str) -> str:
        """ValueError unless it is empty or an http URL without credentials."""
        if url and (not url.startswith(("http://", "https://")) or "@" in url):
            raise ValueError("write it as http://host:port/api; user and password go into PREFECT_API_AUTH_STRING")
        return url

    @model_validator(mode="after")
    def _matches_topology(self) -> Settings:
        if self.topology == "inline" and (self.retrieval_url or self.ranking_url):
            raise SettingsError(
                "TANDEM_TOPOLOGY=inline keeps retrieval and ranking inside the gateway: leave TANDEM_RETRIEVAL_URL and "
                "TANDEM_RANKING_URL empty, or choose split."
            )
        return self

    @model_validator(mode="after")
    def _has_certificate(self) -> Settings:
        if bool(self.tls_cert) != bool(self.tls_key):
            named, missing = ("CERT", "KEY") if self.tls_cert else ("KEY", "CERT")
            raise SettingsError(f"TANDEM_TLS_{named} is set and TANDEM_TLS_{missing} is not; TLS needs both.")
        if self.admin_tls and not self.tls_cert:
            raise SettingsError("TANDEM_ADMIN_TLS needs TLS: set TANDEM_TLS_CERT and TANDEM_TLS_KEY too.")
        return self


def variable(name: str) -> str:
    """The variable of the environment that sets a field."""
    return str(Settings.model_fields[name].validation_alias or f"TANDEM_{name.upper()}")


def place(host: str, port: int) -> str:
    """The host and port as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@cache
def settings() -> Settings:
    """The settings in force. SettingsError names the first wrong one; it ends a command of BentoML."""
    try:
        return _read()
    except SettingsError as error:
        if click.get_current_context(silent=True) is None:
            raise
        sys.exit(f"tandem: {error}")  # `bentoml serve` imports the services, and would print a traceback


def _read() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "?"
        named = variable(field) if field in Settings.model_fields else field
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{named}{_shown(first['input'])} is not a valid setting: {reason}.") from None


def _shown(value: object) -> str:
    """The value for an error message: empty if a password may be in it (a URL with @), and cut if it is long."""
    text = repr(value)
    if "@" in text:
        return ""
    return f"={text}" if len(text) <= MOST_SHOWN else f"={text[:MOST_SHOWN]}..."


@cache
def environment() -> Environment:
    """The folder of state, the URL of Redis, and the file of rules."""
    return Environment.read()
