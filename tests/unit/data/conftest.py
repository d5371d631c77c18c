"""Datasets of a few rows, and the command that reads and judges them."""

import pytest

from tests.unit.data.small_log import TOML
from training.__main__ import main


@pytest.fixture
def shop(tmp_path):
    """Write a dataset of one table and return its folder. more: further lines of dataset.toml."""

    def write(log, more="", file="log.csv"):
        (tmp_path / "dataset.toml").write_text(TOML.format(file=file) + more)
        if isinstance(log, str):
            (tmp_path / file).write_text(log)
        elif file.endswith(".parquet"):
            log.to_parquet(tmp_path / file)
        else:
            log.to_csv(tmp_path / file, index=False)
        return tmp_path

    return write


@pytest.fixture
def refusal(capsys):
    """The one sentence with which `python -m training check` refuses a dataset."""

    def check(folder):
        capsys.readouterr()
        assert main(["check", "--data", str(folder)]) == 1
        [line] = capsys.readouterr().err.splitlines()
        return line

    return check
