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

PROBE = ".tandem"
"""The name of an empty file that shows that a folder of a bucket can be written."""

MOST_SHOWN = 300
"""Characters of an error of the bucket's server that a sentence repeats."""

ERROR_CODE = re.compile(r"(?:AWS Error |google::cloud::Status\()([A-Z_]+)")
"""The code of the bucket's server in a message of pyarrow."""

REFUSED = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "PERMISSION_DENIED", "UNAUTHENTICATED"}
UNREACHED = {"NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
MISSING = {"NO_SUCH_BUCKET", "NO_SUCH_KEY", "NOT_FOUND"}

NO_TOKEN, OTHER_REGION = "OAuth2 access token", "configured region"
"""Words of a message without credentials for Google, and of one for a bucket of another region of AWS."""


@dataclass(frozen=True, slots=True)
class Location:
    """A file or a folder. text: a local path, or a URL such as s3://bucket/key."""

    text: str

    @classmethod
    def of(cls, text: str | Path | Location) -> Location:
        """The location that a setting names. LocationError for a URL of another kind or with credentials."""
        scheme, sign, rest = str(text).partition("://")
        if not sign:
            return cls(str(text))
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
        if "://" in name or Path(name).is_absolute():
            return Location.of(name)
        return Location.of(f"{self.text}/{name}") if self.remote else Location(str(Path(self.text) / name))

    @property
    def remote(self) -> bool:
        """Whether the location is in a bucket."""
        return "://" in self.text

    @property
    def name(self) -> str:
        """The last part of the path."""
        return Path(self.text).name

    @property
    def suffix(self) -> str:
        """The end of the name, such as .csv."""
        return Path(self.text).suffix

    @property
    def parent(self) -> Location:
        """The folder of the file."""
        return Location.of(self.text.rpartition("/")[0]) if self.remote else Location(str(Path(self.text).parent))

    def resolved(self) -> Location:
        """The location with an absolute path, if it is local."""
        return self if self.remote else Location(str(Path(self.text).resolve()))

    def is_local_folder(self) -> bool:
        """Whether the location is an existing folder of this host."""
        return not self.remote and Path(self.text).is_dir()

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


def failed(location: Location, verb: str, error: OSError) -> LocationError:
    """The error of a location as one sentence with the fix. verb: read or written."""
    begin, message = f"{location} can't be {verb}", " ".join((error.strerror or str(error)).split()).rstrip(".")
    if not location.remote:
        return LocationError(f"{begin}: {message}.")
    scheme, endpoint = location.text.partition(":")[0], _endpoint()
    code = found[1] if (found := ERROR_CODE.search(message)) else ""
    if code in REFUSED or NO_TOKEN in message:
        fix = f"Check {CREDENTIALS[scheme]}, and that they may reach this bucket."
        return LocationError(f"{begin}: access is denied. {fix}")
    if code in UNREACHED:
        fix = f"Check AWS_ENDPOINT_URL ({endpoint})." if scheme == "s3" and endpoint else "Check the network."
        return LocationError(f"{begin}: the server of the bucket does not answer. {fix}")
    if code in MISSING or isinstance(error, FileNotFoundError):
        return LocationError(f"{begin}: there is no such bucket or key. Correct the URL.")
    return LocationError(f"{begin}: {message[:MOST_SHOWN]}." + " Set AWS_REGION." * (OTHER_REGION in message))


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
    """Write an empty file to a folder of a bucket. LocationError if the folder can't be written."""
    with writing(folder / PROBE) as file:
        file.touch()


def exports(environment: Environment, name: str) -> Location:
    """The folder of this name for the files that flows write: below TANDEM_EXPORTS, or in TANDEM_HOME."""
    if not environment.exports:
        return Location(str(environment.folder(name)))
    return Location.of(environment.exports).resolved() / name
