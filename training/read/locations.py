"""Read and write files by location: a local path, or the URL of a bucket on S3 (s3://) or Google Cloud Storage (gs://).

Training reads its tables and flows write their Parquet files in this way, with pyarrow's filesystems. Credentials are
read from the variables and files of the provider's own tools, never from a URL, because URLs are in logs, in reports
and in the parameters of a flow.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from pyarrow import fs

from recsys.environment import Environment
from recsys.errors import LocationError
from recsys.files.atomic_write import atomic_write

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (the path of a key file)",
}
"""The variables that hold the credentials of each scheme, as a sentence names them."""

CONNECT_SECONDS, SILENT_SECONDS, TRIES = 3, 10, 3
"""Of a request to S3: the time to connect, the time without a byte, and the number of tries."""

GS_SECONDS = 10
"""Seconds in which a request to Google's storage is tried again. The library's default is 15 minutes."""

READ_BYTES = 8 << 20
"""Bytes of one read from a CSV file: each is a request to the bucket."""

ERROR_CODE = re.compile(r"(?:AWS Error |google::cloud::Status\()([A-Z_]+)")
"""The code of the bucket's server in a message of pyarrow."""

REFUSED = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "PERMISSION_DENIED", "UNAUTHENTICATED"}
UNREACHED = {"NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
MISSING = {"NO_SUCH_BUCKET", "NO_SUCH_KEY", "NOT_FOUND"}


@dataclass(frozen=True, slots=True)
class Location:
    """A file or a folder. text: a local path, or a URL such as s3://bucket/key."""

    text: str

    @classmethod
    def of(cls, text: str | Path) -> Location:
        """The location that a setting names; a local path becomes absolute.

        LocationError for a URL of another kind or with credentials.
        """
        scheme, sign, rest = str(text).partition("://")
        if not sign:
            return cls(str(Path(text).resolve()))
        bucket = rest.partition("/")[0]
        if scheme not in CREDENTIALS:
            raise LocationError(f"A URL that begins with {scheme}:// can't be read. Use s3://, gs:// or a local path.")
        if "@" in bucket or ":" in bucket or "?" in rest:
            raise LocationError(
                f"A URL of {scheme}:// holds credentials, a port or options. Take them out of the URL: write "
                f"{scheme}://BUCKET/KEY and set {CREDENTIALS[scheme]}."
            )
        if not bucket:
            raise LocationError(f"{text} names no bucket. Write {scheme}://BUCKET/KEY.")
        return cls(f"{scheme}://{posixpath.normpath(rest)}")

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Location:
        if self.remote or "://" in name:
            return Location.of(name if "://" in name or name.startswith("/") else f"{self.text}/{name}")
        return Location(str(Path(self.text) / name))

    @property
    def remote(self) -> bool:
        """Whether the location is in a bucket."""
        return "://" in self.text

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.text)

    @property
    def parent(self) -> Location:
        """The folder of the file."""
        return Location(posixpath.dirname(self.text))

    @property
    def path(self) -> str:
        """The path in pyarrow's filesystem."""
        return self.text.partition("://")[2] if self.remote else self.text

    def filesystem(self) -> fs.FileSystem:
        """Pyarrow's filesystem of the location. Its requests take a bounded time."""
        if not self.remote:
            return fs.LocalFileSystem()
        if self.text.startswith("gs:"):
            return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=GS_SECONDS))
        return fs.S3FileSystem(
            endpoint_override=_endpoint(),
            connect_timeout=CONNECT_SECONDS,
            request_timeout=SILENT_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
        )

    def open_text(self) -> pa.NativeFile:
        """The bytes as a stream, decompressed if the name ends with .gz, .bz2 or .zst."""
        return self.filesystem().open_input_stream(self.path, buffer_size=READ_BYTES)


def _endpoint() -> str | None:
    """The server that AWS' variables name: pyarrow reads them only for a filesystem made of a URL."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def reason(location: Location, error: Exception) -> str:
    """The message of an error without the location's path, which the sentence names, and without a full stop."""
    message = " ".join((getattr(error, "strerror", "") or str(error)).split())
    return message.rpartition(f"'{location.path}': ")[2].rstrip(".")


def failed(location: Location, verb: str, error: OSError) -> LocationError:
    """The error of a location as one sentence with the fix. verb: read or written."""
    begin, message = f"{location} can't be {verb}", reason(location, error)
    if not location.remote:
        return LocationError(f"{begin}: {message}.")
    scheme, endpoint = location.text.partition(":")[0], _endpoint()
    code = found[1] if (found := ERROR_CODE.search(message)) else ""
    why = f"{message[:300]}."
    if code in REFUSED or "OAuth2 access token" in message:  # the latter: no credentials for Google
        why = f"access is denied. Check {CREDENTIALS[scheme]}, and that they may reach this bucket."
    elif code in UNREACHED:
        fix = f"Check AWS_ENDPOINT_URL ({endpoint})." if scheme == "s3" and endpoint else "Check the network."
        if scheme == "s3" and "AWS_ACCESS_KEY_ID" not in os.environ:  # AWS asks its own network for credentials then
            fix += f" No credentials are set: {CREDENTIALS[scheme]}."
        why = f"the server of the bucket does not answer. {fix}"
    elif code in MISSING or isinstance(error, FileNotFoundError):
        why = "there is no such bucket or key. Correct the URL."
    elif "configured region" in message:
        why += " Set AWS_REGION."
    return LocationError(f"{begin}: {why}")


@contextmanager
def reaching(location: Location, verb: str) -> Iterator[None]:
    """Convert an error of a file or a bucket inside the block to a LocationError. verb: read or written."""
    try:
        yield
    except OSError as error:
        raise failed(location, verb, error) from error


@contextmanager
def writing(target: Location) -> Iterator[Path]:
    """A local file to write. It is moved or copied to the target when the block ends without an error."""
    with ExitStack() as stack:
        if target.remote:
            yield (file := Path(stack.enter_context(TemporaryDirectory(prefix="tandem-"))) / target.name)
            with reaching(target, "written"):
                fs.copy_files(str(file), target.path, fs.LocalFileSystem(), target.filesystem())
            return
        path = Path(target.path)
        with reaching(target, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(atomic_write(path, durable=True))
        yield file
        with reaching(target, "written"):
            stack.close()


def require_writable(folder: Location) -> None:
    """Write an empty file `.tandem` to a folder of a bucket. LocationError if the folder can't be written."""
    with writing(folder / ".tandem") as file:
        file.touch()


def exports(environment: Environment, name: str) -> Location:
    """The folder of this name for the files that flows write: below TANDEM_EXPORTS, or in TANDEM_HOME."""
    if not environment.exports:
        return Location(str(environment.folder(name)))
    return Location.of(environment.exports) / name
