"""The surfaces in force (places of a product that show recommendations): their file, read again when it changes.

A surface may have a file of rules of its own. Requests without a surface belong to the surface `default`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import QueryError, RulesError, SurfacesError
from recsys.files.watched_file import FileState, WatchedFile, file_state
from recsys.rules import RulesFile
from recsys.slates.served_generation import ServedGeneration
from recsys.surfaces import Surface, parse
from recsys.types import Mode
from service.schema.errors import NAME_CHARACTERS
from service.settings import Settings
from service.telemetry.periodic import repeat
from service.verbs.rules import RulesFollower

Surfaces = Mapping[str, Surface]
"""By name, `default` first."""

POLL_SECONDS = 1.0
"""Time between two checks of the files."""


class SurfacesFile(WatchedFile[Surfaces]):
    """The surfaces in force; the surface `default` alone if there is no file.

    SurfacesError if the file, or a file of rules that it names, is wrong at the first read, or named and missing. last:
    see `WatchedFile`.
    """

    noun, error, may_be_empty = "surfaces", SurfacesError, True

    def __init__(self, path: Path, named: bool = False, last: Path | None = None) -> None:
        if named and file_state(path) is None:
            raise SurfacesError(f"There is no file {path}, which TANDEM_SURFACES names.")
        self._refused: tuple[Path, FileState | None] | None = None  # a file of rules that can't be used, with its state
        super().__init__(path, last)

    def parse(self, text: str) -> Surfaces:
        """Parse the text."""
        return parse(text, self.path.name)

    def checked(self, content: Surfaces) -> Surfaces:
        """Return the surfaces; SurfacesError if a file of rules is missing or wrong."""
        for name, surface in content.items():
            if (rules := self.rules_of(surface)) is not None:
                self._refused = rules, file_state(rules)
                self._check_rules(rules, name)
        self._refused = None
        return content

    def refresh(self) -> None:
        """Read the file again if it changed, or if the file of rules changed that made it wrong."""
        if self._refused and file_state(self._refused[0]) != self._refused[1]:
            self._state = None
        super().refresh()

    def _check_rules(self, rules: Path, surface: str) -> None:
        if file_state(rules) is None:
            raise SurfacesError(f"{self.path.name}: {surface}.rules names {rules}, and there is no such file.")
        try:
            RulesFile(rules)
        except RulesError as error:
            raise SurfacesError(f"{self.path.name}: {surface}.rules names a wrong file. {error}") from error

    def rules_of(self, surface: Surface) -> Path | None:
        """The file of rules of a surface; None for the common file."""
        return None if surface.rules is None else self.path.parent / surface.rules

    def empty(self) -> Surfaces:
        """The surface `default`."""
        return parse("")

    def text_if_missing(self) -> str:
        """A missing file describes no surface besides `default`."""
        return ""


@dataclass(frozen=True, slots=True)
class ServedSurface:
    """A surface, with the values of the settings where the file has none. seconds: the deadline of a request."""

    name: str
    mode: Mode
    k: int
    seconds: float
    list_fresh: float
    list_usable: float
    log_impressions: bool
    rules: RulesFollower


class SurfacesFollower:
    """Reads the file of surfaces, and every file of rules, again when it changes."""

    def __init__(self, environment: Environment, settings: Settings) -> None:
        """Copies of the files in force are kept in the folder `cache`, for a worker that starts while one is wrong."""
        self._settings, self._folder = settings, environment.folder("cache")
        self._file = SurfacesFile(environment.surfaces, last=self._folder / "surfaces.last.toml")
        common = RulesFollower(environment.rules, self._folder / "rules.last.toml")
        self._rules: dict[Path | None, RulesFollower] = {None: common}
        self._read: Surfaces | None = None
        self._served: Mapping[str, ServedSurface] = {}
        self._serve()

    def of(self, name: str) -> ServedSurface:
        """A surface; QueryError for an unknown one names the known ones."""
        served = self._served
        if name not in served:
            shown = repr(name)[:NAME_CHARACTERS]
            raise QueryError(f"There is no surface {shown}; there is {', '.join(served)}.", "surface")
        return served[name]

    @property
    def names(self) -> list[str]:
        """The surfaces, `default` first."""
        return list(self._served)

    async def follow(self, live: Callable[[], ServedGeneration | None]) -> None:
        """Check the files, without an end. New rules are compiled at once for the generation in force, `live()`."""

        async def check() -> None:
            await asyncio.to_thread(self._refresh)  # a slow disk must not stop the loop
            if (generation := live()) is not None:
                for rules in self._rules.values():
                    rules.of(generation)

        await repeat("surfaces", check, POLL_SECONDS)

    def problems(self) -> list[str]:
        """The error in the file of surfaces."""
        return [self._file.fault] if self._file.fault else []

    def rules_problems(self, generation: ServedGeneration | None) -> list[str]:
        """The errors in the files of rules, and the rules without effect in a generation."""
        return [problem for rules in self._rules.values() for problem in rules.problems(generation)]

    def _refresh(self) -> None:
        self._file.refresh()
        for rules in self._rules.values():
            rules.refresh()
        self._serve()

    def _serve(self) -> None:
        """Put the surfaces of the file in force, if they are not."""
        if self._read is self._file.current:
            return
        self._read = self._file.current
        files = {name: self._file.rules_of(surface) for name, surface in self._read.items()}
        self._rules = self._followers(files.values())
        self._served = {
            name: _served(name, surface, self._rules[files[name]], self._settings)
            for name, surface in self._read.items()
        }

    def _followers(self, files: Iterable[Path | None]) -> dict[Path | None, RulesFollower]:
        """A follower of each file of rules; the common file is always read."""
        made: dict[Path | None, RulesFollower] = {None: self._rules[None]}
        for file in files:
            if file is not None and file not in made:
                last = self._folder / f"rules-{zlib.crc32(str(file).encode()):08x}.last.toml"
                made[file] = self._rules.get(file) or RulesFollower(file, last, f"{file.name}: ")
        return made


def _served(name: str, surface: Surface, rules: RulesFollower, settings: Settings) -> ServedSurface:
    return ServedSurface(
        name,
        Mode(surface.mode),
        surface.k,
        (surface.deadline_ms or settings.deadline_ms) / 1000,
        settings.list_fresh_seconds if surface.list_fresh is None else surface.list_fresh,
        settings.list_usable_seconds if surface.list_usable is None else surface.list_usable,
        surface.log_impressions,
        rules,
    )
