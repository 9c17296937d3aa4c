"""What every suite shares: tests about root's own doors are not collected for anybody else."""

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no meaning for a plain user."""
    if os.geteuid() == 0:
        return
    roots = [item for item in items if item.get_closest_marker("only_root")]
    config.hook.pytest_deselected(items=roots)
    items[:] = [item for item in items if item not in roots]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, so that nobody takes it for done."""
    if os.geteuid() != 0:
        terminalreporter.write_line("not run: the tests marked only_root; run them as root")
