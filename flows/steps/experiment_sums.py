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
from training.data.day_partitions import DAY, FileVersion, read_table, reading_parquet, write_table
from training.data.locations import Location
from training.experiments.day_sums import SHOWN, SUMS, day_sums, slates_of, together
from training.experiments.window import Window

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
        holding = {part: source for part, source in sources.items() if self._holds(source, files)}
        known = {name for source in holding.values() for name in source.files}
        added = [self._part({file: version}) for file, version in files.items() if file.text not in known]
        if not added and len(holding) == len(sources):
            return sums
        sums = together([sums[sums["part"].isin(holding)], *(table for *_, table in added)])
        holding |= {part: source for part, source, _ in added}
        if _share_slates(holding.values()):  # after a drain was killed; a slate counts once
            part, source, sums = self._part(files)
            holding = {part: source}
        table = pa.Table.from_pandas(sums, SUMS, preserve_index=False)
        write_table(table.replace_schema_metadata({SOURCES: BY_PART.dump_json(holding)}), place)
        return sums

    def _holds(self, source: Source, files: Files) -> bool:
        versions = {file.text: version for file, version in files.items()}
        unchanged = all(versions.get(name) == version for name, version in source.files.items())
        return unchanged and source.targets == self._targets and source.divided_alike(self._bounds)

    def _part(self, files: Files) -> tuple[str, Source, pd.DataFrame]:
        """Read some files: the part, its source and its sums."""
        part, slates = next(iter(files)).name, slates_of(_shown(files), self._targets)
        ids, times = slates["impression"], slates["time"]
        ends = (str(ids.min()), str(ids.max())) if len(slates) else ("", "")
        span = (float(times.min()), float(times.max())) if len(slates) else (0.0, 0.0)
        versions = {file.text: version for file, version in files.items()}
        source = Source(versions, ends, span, self._bounds, self._targets)
        return part, source, day_sums(slates, self._experiment, self._window).assign(part=part)


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


def _shown(files: Iterable[Location]) -> pa.Table:
    """The rows of some files. Files of the release before have no assigned arms: null."""
    tables = []
    for file in files:
        with reading_parquet(file):
            tables.append(ds.dataset(file.path, SHOWN, "parquet", file.filesystem()).to_table())
    return pa.concat_tables(tables)
