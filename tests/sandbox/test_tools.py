"""What a box gets of the host's programs."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence.chain.errors import InputError
from ringfence.engine.plan import MountKind
from ringfence.sandbox import tools


def script(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """Write an executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def mounted(found: tools.ResolvedCommand) -> dict[str, str]:
    """Give target and source of the mounts."""
    return {mount.target: mount.source for mount in found.mounts}


def test_the_system_is_read_only_and_names_its_rules() -> None:
    """Nothing of a home, nothing writable, no link as a source."""
    for mount in tools.system_mounts():
        assert mount.rule.startswith("system:")
        assert mount.kind in {MountKind.READ_ONLY, MountKind.SYMLINK}
        assert not mount.target.startswith(("/home", "/root", "/etc/shadow", "/etc/ssl/private"))
        if mount.kind is MountKind.READ_ONLY:
            assert not Path(mount.source).is_symlink()


def test_a_system_command_needs_nothing_more() -> None:
    """It lives in /usr."""
    found = tools.command_mounts("sh", search=["/nowhere", "relative", "/bin"])
    assert found == tools.ResolvedCommand(path_inside="/bin/sh")


def test_a_command_of_the_workspace_stays_relative() -> None:
    """The box looks it up in its own tree."""
    assert tools.command_mounts("./agent.py", search=[]).path_inside == "./agent.py"


@pytest.mark.parametrize("name", ["../agent", "a/../../b", "no-such-command", "", "a\0b", "/etc"])
def test_what_is_not_found_is_an_error(name: str) -> None:
    """And says how to fix it."""
    with pytest.raises(InputError) as error:
        tools.command_mounts(name, search=["/usr/bin"])
    assert error.value.hint


def test_a_virtual_environment_brings_its_base(tmp_path: Path) -> None:
    """Prefix and base prefix are mounted, the path inside is the one that was named."""
    base = tmp_path / "python/3.11"
    script(base / "bin/python3.11", "\x7fELF")
    (base / "bin/python3").symlink_to("python3.11")
    (base / "lib/python3.11").mkdir(parents=True)
    (base / "lib/python3.11/os.py").touch()
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(base / "bin/python3")
    (venv / "pyvenv.cfg").write_text(f"home = {base}/bin\n")
    tool = script(venv / "bin/tool", f"#!{venv}/bin/python\n")
    found = tools.command_mounts(str(tool), search=[])
    assert found.path_inside == str(tool)
    assert mounted(found) == {str(venv): str(venv), str(base): str(base)}
    assert {mount.rule for mount in found.mounts} == {"command:tool", "command:tool:venv-base"}


def test_a_shim_is_seen_through(tmp_path: Path) -> None:
    """The program behind it is mounted, pyenv is not."""
    root = tmp_path / "pyenv"
    real = script(root / "versions/3.12/bin/tool", "\x7fELF")
    script(root / "versions/3.12/bin/python3", "\x7fELF")
    (root / "versions/3.12/lib/python3.12").mkdir(parents=True)
    (root / "versions/3.12/lib/python3.12/os.py").touch()
    script(root / "shims/tool", "#!/usr/bin/env bash\n")
    (root / "version").write_text("3.12\n")
    found = tools.command_mounts("tool", search=[str(root / "shims")])
    assert found.path_inside == str(real)
    assert list(mounted(found)) == [str(root / "versions/3.12")]
    (root / "version").write_text("system\n")
    with pytest.raises(InputError):
        tools.command_mounts("tool", search=[str(root / "shims")])


def test_a_node_package_brings_node(tmp_path: Path) -> None:
    """A global package links from bin into node_modules and names node by env."""
    root = tmp_path / "nvm/versions/node/v20"
    node = script(root / "bin/node", "\x7fELF")
    cli = script(root / "lib/node_modules/claude/cli.js", "#!/usr/bin/env -S node --x\n")
    (root / "bin/claude").symlink_to("../lib/node_modules/claude/cli.js")
    found = tools.command_mounts("claude", search=[str(root / "bin")])
    assert found.path_inside == str(root / "bin/claude")
    assert list(mounted(found)) == [str(root)]
    assert node.is_relative_to(root)
    assert cli.is_relative_to(root)


def test_a_lone_binary_is_mounted_alone(tmp_path: Path) -> None:
    """Nothing beside it comes along, and a link to it is followed to the file."""
    real = script(tmp_path / "share/agent/1.2/agent", "\x7fELF")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/agent").symlink_to(real)
    found = tools.command_mounts("agent", search=[str(tmp_path / "bin")])
    assert found.path_inside == str(real)
    assert mounted(found) == {str(real): str(real)}


def test_a_home_directory_is_never_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when it looks like an installation."""
    home = tmp_path / "home"
    tool = script(home / "bin/tool", "\x7fELF")
    (home / "pyvenv.cfg").touch()
    monkeypatch.setattr(tools, "_homes", lambda: frozenset({home}))
    assert mounted(tools.command_mounts(str(tool), search=[])) == {str(tool): str(tool)}


def test_interpreters_in_a_circle_are_an_error(tmp_path: Path) -> None:
    """A script that interprets itself ends the search."""
    tool = tmp_path / "loop"
    script(tool, f"#!{tool}\n")
    with pytest.raises(InputError):
        tools.command_mounts(str(tool), search=[])


def test_the_python_of_these_tests_runs_in_a_box(holder: Any) -> None:
    """A real interpreter below a home directory works from its own prefix."""
    if holder.identity == "plain" or not os.access(sys.executable, os.X_OK):
        real = "/usr/bin/python3"
    else:
        real = os.path.realpath(sys.executable)
    found = tools.command_mounts(real, search=[])
    mounts = [[m.target, m.kind.value, m.source, 0] for m in found.mounts]
    held = holder.box(found.path_inside, "-c", "import ssl; print('runs')", mounts=mounts)
    assert held["out"] == "runs\n"
