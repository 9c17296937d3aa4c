"""The report of one run: a single HTML file that needs no network and runs no script.

Edge only in that it writes the file; what stands in it comes from a `RunView` alone.
"""

from ringfence.apps.report.page import render, write_report

__all__ = ["render", "write_report"]
