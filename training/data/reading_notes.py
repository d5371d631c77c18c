"""What a person should know of a dataset that was read: what was set aside and what was dropped, a line each."""

from __future__ import annotations

from training.data.dataset import Dataset


def notes(dataset: Dataset, quarantine: str = "") -> list[str]:
    """The lines; quarantine: where the rows that were set aside are."""
    lines = [
        f"Set aside: {count:,} {what}{'s' * (count != 1)} of {table}, {reason}"
        for what, found in (("row", dataset.quarantined), ("value", dataset.bad_values))
        for table, reasons in found.items()
        for reason, count in reasons.items()
    ]
    if lines and quarantine:
        lines.append(f"What was set aside, with the reasons: {quarantine}")
    if dataset.duplicates:
        rows = len(dataset.interactions) + dataset.duplicates
        lines.append(
            f"Duplicate rows dropped: {dataset.duplicates:,} of {rows:,} rows of the log, which repeat another row in "
            f'every mapped column; duplicates = "keep" in [interactions] keeps them. {dataset.examples["duplicates"]}.'
        )
    return lines
