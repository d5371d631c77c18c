"""The exception classes of Tandem, the recommender, below `TandemError`. The text of each is a sentence with the fix.

QueryError becomes a 4xx answer, StageError a fallback. The others stop the program, or the flow that raised them. A
generation is one trained set of models and tables. The gate is the set of checks that a training must pass before its
generation goes live.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path


class TandemError(Exception):
    """Root of the tree."""


class QueryError(TandemError):
    """A request is wrong; `field` names the field."""

    def __init__(self, message: str, field: str = "", code: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class DatasetError(TandemError):
    """The interactions log or its mapping can't be used."""


class LocationError(TandemError):
    """A path or a URL of a bucket can't be read or written."""


class SettingsError(TandemError):
    """A setting is wrong, or its resource is in use or can't be reached."""


class RulesError(TandemError):
    """The file of rules is wrong."""


class SurfacesError(TandemError):
    """The file of surfaces is wrong."""


class ExperimentError(TandemError):
    """An experiment is wrong, or can't be changed as wanted."""


class StoreError(TandemError):
    """Redis refused a command."""


class StoreFull(StoreError):
    """A generation has no room in Redis, or exceeds the budget."""


class StoreUnavailable(StoreError):
    """Redis can't be reached."""


class GenerationError(TandemError):
    """A generation is refused before use."""


NOTHING_LIVE = "No generation is live. Train and publish one: python -m flows run --data DIR."
"""The error of commands, HTTP and gRPC while no generation is live."""


class NoGeneration(GenerationError):
    """No generation is live."""


class PublisherBusy(GenerationError):
    """Another process publishes."""


class StalePublisher(GenerationError):
    """A publisher lost its lock, or a later generation became live."""


class GateRefused(GenerationError):
    """The gate refuses to promote a generation. failed: the failed checks. report: the path of the run's report."""

    report: Path | None = None

    def __init__(self, message: str, failed: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message)
        self.failed = list(failed)


class StageError(TandemError):
    """A stage of the pipeline failed or was late."""
