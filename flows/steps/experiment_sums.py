"""Keep an experiment's sums of users in a file for each day, so that reports read each file of shown items once.

A part of the sums is of one file of shown items. It holds while the file has the same size and time of change. So a
report reads files that are new or were written again, as after a deletion of a user, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from pydantic import TypeAdapter

from recsys.errors import DatasetError, LocationError
from training.experiments.day_sums import SHOWN, SUMS, day_sums, slates_of, together
from training.experiments.window import Window
from training.read.day_partitions import DAY, FileVersion, read_table, reading_parquet, write_table
from training.read.locations import Location

FOLDER = "experiment-sums"
"""The folder below TANDEM_EXPORTS or TANDEM_HOME, with a folder for each day and in it a file for each experiment."""

SOURCES = b"tandem.sums.1"
"""The key of the sources in the metadata of a file of sums. The number rises when the columns or the counting change.
The columns user_id and first stay: deletions of users need them."""

Files = Mapping[Location, FileVersion]


@dataclass(frozen=True)
class Source:
    """What a part of the sums was made from.

    files: by location; several only where a slate is in two of them. slates: the first and the last id of a slate, as
    text. times: of the first and of the last slate, unix seconds. bounds: of the window. targets: types of conversions.
    """

    files: Mapping[str, FileVersion]
    slates: tuple[str, str]
    times: tuple[float, float]
    bounds: tuple[float, ...]
    targets: tuple[str, ...]

    def divided_alike(self, bounds: Sequence[float]) -> bool:
        """Whether these bounds divide the slates as its own do: the end of a window is often now."""
        oldest, newest = self.times
        pairs = zip(self.bounds, bounds, strict=True)
        return all(one == other or max(one, other) <= oldest or min(one, other) > newest for one, other in pairs)


BY_PART = TypeAdapter(dict[str, Source])
"""The sources by the part, which is the name of the first file."""


class ExperimentSums:
    """The sums of an experiment by day, in a window. targets: types of conversions; all types if empty."""

    def __init__(self, folder: Location, experiment: str, window: Window, targets: Sequence[str]) -> None:
        self._folder, self._experiment, self._window, self._targets = folder, experiment, window, tuple(targets)
        self._bounds = window.before, window.start, window.since, window.until

    def of_day(self, day: str, files: Files) -> pd.DataFrame:
        """The sums of all files of a day. Only files without a part that holds are read."""
        place = self._folder / f"{DAY}{day}" / f"{self._experiment}.parquet"
        sources, sums = _read(place)
        versions = {file.text: version for file, version in files.items()}
        holding = {part: source for part, source in sources.items() if self._holds(source, versions)}
        known = {name for source in holding.values() for name in source.files}
        new = {file: version for file, version in files.items() if file.text not in known}
        if not new and len(holding) == len(sources):
            return sums
        sums = sums[sums["part"].isin(holding)]
        if new:
            added, table = self._parts({file.name: {file: version} for file, version in new.items()})
            holding, sums = holding | added, together([sums, table])
        if _share_slates(holding.values()):  # after a drain was killed; a slate counts once
            holding, sums = self._parts({next(iter(files)).name: files})
        table = pa.Table.from_pandas(sums, SUMS, preserve_index=False)
        write_table(table.replace_schema_metadata({SOURCES: BY_PART.dump_json(holding)}), place)
        return sums

    def _holds(self, source: Source, versions: Mapping[str, FileVersion]) -> bool:
        """Whether a part is still that of its files and of the window. versions: of the files of the day."""
        unchanged = all(versions.get(name) == version for name, version in source.files.items())
        return unchanged and source.targets == self._targets and source.divided_alike(self._bounds)

    def _parts(self, parts: Mapping[str, Files]) -> tuple[dict[str, Source], pd.DataFrame]:
        """Read the files of some parts: their sources and sums."""
        slates = slates_of(_shown(parts), self._targets)
        ends = slates.groupby("part").agg({"impression": ["min", "max"], "time": ["min", "max"]})
        found = {part: (first, last, oldest, newest) for part, first, last, oldest, newest in ends.itertuples()}
        sources = {}
        for part, files in parts.items():
            first, last, oldest, newest = found.get(part, ("", "", 0.0, 0.0))  # a file may have no rows
            versions = {file.text: version for file, version in files.items()}
            sources[part] = Source(versions, (first, last), (oldest, newest), self._bounds, self._targets)
        return sources, day_sums(slates, self._experiment, self._window)


def _read(place: Location) -> tuple[dict[str, Source], pd.DataFrame]:
    """The kept sums; none without a file, or if the file is damaged or of another release."""
    try:
        table = read_table(place)
        return BY_PART.validate_json((table.schema.metadata or {})[SOURCES]), table.to_pandas()
    except (LocationError, DatasetError, KeyError, ValueError):
        return {}, SUMS.empty_table().to_pandas()


def _share_slates(sources: Iterable[Source]) -> bool:
    """Whether two parts may have a slate in common. The order of ids as text need not be that of times."""
    ends = sorted(source.slates for source in sources if source.slates[1])
    return any(one[1] >= other[0] for one, other in pairwise(ends))


def _shown(parts: Mapping[str, Files]) -> pa.Table:
    """The rows of some files, with their part. Files of the release before have no assigned arms: null."""
    tables = []
    for part, file in ((part, file) for part, files in parts.items() for file in files):
        with reading_parquet(file):
            table = ds.dataset(file.path, SHOWN, "parquet", file.filesystem()).to_table()
        tables.append(table.append_column("part", pa.array([part] * len(table), pa.string())))
    return pa.concat_tables(tables)
