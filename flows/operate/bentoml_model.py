"""Copy files of a trained model from a folder into a new model of BentoML's model store, as a program of its own.

Usage: `python -m flows.operate.bentoml_model TAG DATASET FOLDER FILE ...`. It is a program of its own because BentoML
reads BENTOML_HOME, the place of its model store, once in a process.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

FAILED = 1
"""The exit code, with the reason as the last line on stderr."""


def create(tag: str, dataset: str, folder: Path, files: Sequence[str]) -> None:
    """Save the files as the model `tag`; dataset: the label of the model."""
    from bentoml import models

    with models.create(tag, labels={"dataset": dataset}) as model:
        for name in files:
            shutil.copyfile(folder / name, Path(model.path) / name)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    tag, dataset, folder, *files = arguments
    try:
        create(tag, dataset, Path(folder), files)
    except OSError as error:
        sys.stderr.write(f"{reason(error)}\n")
        return FAILED
    return 0


def reason(error: OSError) -> str:
    """The system's text for an error. shutil joins several errors, each after two paths."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][-1][-1])
    return error.strerror or str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
