"""What a run measured as a page and a picture: a report is told once, as a value, and drawn twice."""

from loadtests.report.value import Bars, Chart, Line, Report, Rule, Table
from loadtests.report.write import write

__all__ = ["Bars", "Chart", "Line", "Report", "Rule", "Table", "write"]
