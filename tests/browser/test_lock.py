"""The two npm packages of the browser tests are pinned, by version and by hash."""

import json
from pathlib import Path

HERE = Path(__file__).parent


def test_every_package_is_pinned_by_hash_and_names_no_registry() -> None:
    """The lock works with any registry, and with none that serves other bytes."""
    wanted = json.loads((HERE / "package.json").read_text())["devDependencies"]
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    locked = {name.removeprefix("node_modules/"): p for name, p in packages.items() if name}
    assert set(locked) == set(wanted)
    for name, package in locked.items():
        assert package["version"] == wanted[name]
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package
        assert "hasInstallScript" not in package
