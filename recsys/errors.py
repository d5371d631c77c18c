"""Every error Tandem raises on purpose, in one tree.

TandemError                 str(error) is a sentence a person can act on
├── QueryError              a request is wrong: names the field            (the door answers 4xx)
├── DatasetError            the log or its mapping can't be used           (the flow stops)
├── LocationError           a path or URL can't be read or written         (the flow stops)
├── SettingsError           a setting is wrong or a resource is taken      (nothing starts)
├── RulesError              the file of rules is wrong: names the field    (nothing starts, or what was stays)
├── StoreError              Redis refused a command
│   ├── StoreFull           it has no room, or is not given it
│   └── StoreUnavailable    Redis can't be reached
├── GenerationError         a generation is refused: hash, dims, missing part
│   ├── NoGeneration        nothing is live yet
│   ├── PublisherBusy       another one publishes: names who
│   ├── StalePublisher      others went on while this one slept
│   └── GateRefused         it is not let go live: names each failed check
└── StageError              one stage of the pipeline failed or was late   (a fallback answers)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path


class TandemError(Exception):
    """Root of the tree; its text is a sentence for a person."""


class QueryError(TandemError):
    """A request is wrong; `field` names what to mend."""

    def __init__(self, message: str, field: str = "", code: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class DatasetError(TandemError):
    """The interactions log or its mapping can't be used."""


class LocationError(TandemError):
    """A path or a URL of a bucket can't be read or written."""


class SettingsError(TandemError):
    """A setting is wrong, or what it names is taken or out of reach."""


class RulesError(TandemError):
    """The file of rules is wrong."""


class StoreError(TandemError):
    """Redis refused a command."""


class StoreFull(StoreError):
    """A generation has no room in Redis, or is not given it."""


class StoreUnavailable(StoreError):
    """Redis can't be reached."""


class GenerationError(TandemError):
    """A generation is refused before use."""


NOTHING_LIVE = "No generation is live. Train and publish one: python -m flows run --data DIR."
"""The error of every command and of both doors while no generation is live."""


class NoGeneration(GenerationError):
    """No generation is live."""


class PublisherBusy(GenerationError):
    """Another process publishes."""


class StalePublisher(GenerationError):
    """A publisher has lost its claim, or a later generation went live."""


class GateRefused(GenerationError):
    """A generation does not go live; for programs, failed: the failed checks. report: where the run's page is."""

    report: Path | None = None

    def __init__(self, message: str, failed: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message)
        self.failed = list(failed)


class StageError(TandemError):
    """A stage of the pipeline failed or was late."""
