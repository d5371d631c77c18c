"""A run as one self-contained HTML page that a person can look at: `write(findings, path)`."""

from training.report.curves import Curves
from training.report.findings import Findings
from training.report.page import write

__all__ = ["Curves", "Findings", "write"]
