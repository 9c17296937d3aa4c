"""Starting and following a run: what is stored, what the runner gets, what it says."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence.apps.launch import create_run, follow, new_run_id, read_chain, starting
from ringfence.apps.settings import DataDir, open_data_dir
from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.chain.words import Json
from ringfence.control.runs import RunRow, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAIN = (
    '{"name":"c","agents":[{"name":"a","type":"script","run":["sh","-c","%s"],'
    '"triggers":["chain:start"],"emits":["chain:complete"]}]}'
)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """A fresh data directory."""
    return open_data_dir(str(tmp_path / "data"))


def created(data: DataDir, folder: Path, command: str = "true", **settings: Json) -> RunRow:
    """Store a run of one command."""
    path = folder / "c.json"
    path.write_text(CHAIN % command)
    return create_run(
        data,
        read_chain(str(path), {}),
        starter="user:ana",
        variables={},
        settings={"search": os.environ["PATH"], **settings},
        file=str(path),
    )


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing.json", None, "chain-unreadable"),
        (".", None, "chain-unreadable"),
        ("\x1b[31m\u202eevil.json", b"{", ""),
        ("\x1b[31mgone.json", None, "chain-unreadable"),
        ("big.json", b" " * 300_000, ""),
        ("latin.json", b"\xff\xfe", ""),
        ("empty.yaml", b"", ""),
    ],
    ids=["missing", "directory", "hostile name", "hostile missing", "big", "no text", "empty"],
)
def test_a_chain_that_cannot_be_read_says_so(
    person: Any, name: str, content: bytes | None, code: str
) -> None:
    """Exit code 2, no traceback, and the name cannot move the cursor of whoever reads it."""
    if content is not None:
        (person.work / name).write_bytes(content)
    done = person("run", name)
    assert done.code == 2
    assert code in done.err
    assert "Traceback" not in done.err
    assert "internal-error" not in done.err
    assert not set(done.err) & set("\x1b\u202e")


def test_ids_sort_by_day_and_differ() -> None:
    """Two of the same moment are not the same run."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    ids = {new_run_id(now) for _ in range(200)}
    assert len(ids) == 200
    assert all(one.startswith("r20261121-") for one in ids)


def test_the_stored_bytes_are_those_that_were_read(data: DataDir, tmp_path: Path) -> None:
    """The snapshot is exact, whatever becomes of the file."""
    row = created(data, tmp_path)
    snapshot = data.run(row.id) / "chain"
    assert snapshot.read_bytes() == (tmp_path / "c.json").read_bytes()
    assert row.file == str(tmp_path / "c.json")


def test_without_its_keys_no_run_is_stored(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that could not be recorded is refused before there is anything of it."""
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery")
    secret.chmod(0o600)
    monkeypatch.setenv("RINGFENCE_PASSPHRASE_FILE", str(secret))
    created(data, tmp_path)
    monkeypatch.delenv("RINGFENCE_PASSPHRASE_FILE")
    with pytest.raises(Refused) as refusal:
        created(data, tmp_path)
    assert refusal.value.code == "passphrase-needed"
    assert len(list((data.root / "runs").iterdir())) == 1


def test_a_runner_that_is_told_no_run_goes_away(data: DataDir) -> None:
    """It was started early to save time; an error of the chain leaves nothing behind."""
    with starting(data) as runner:
        process = runner._process
    assert process.returncode == 0
    assert not (data.root / "runs").exists()


def test_the_runner_gets_nothing_of_our_environment(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard off: a plain child has the variable. Only path, locale and passphrase file pass."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("RINGFENCE_PASSPHRASE_FILE", "/nowhere/passphrase")
    assert b"canary" in "\0".join(f"{k}={v}" for k, v in os.environ.items()).encode()
    with starting(data) as runner:
        found = Path(f"/proc/{runner._process.pid}/environ").read_bytes()
    names = {entry.split(b"=")[0] for entry in found.split(b"\0") if entry}
    assert names <= {b"PATH", b"LANG", b"RINGFENCE_PASSPHRASE_FILE"}
    assert b"RINGFENCE_PASSPHRASE_FILE" in names


@pytest.mark.box
def test_a_run_is_followed_to_its_end(data: DataDir, tmp_path: Path) -> None:
    """Every line is an object with a kind, and the row says how it ended."""
    lines: list[Mapping[str, Json]] = []
    row = follow(data, created(data, tmp_path, "echo hello").id, on_line=lines.append)
    assert row.status is RunStatus.SUCCEEDED
    assert {"kind": "line", "agent": "a", "text": "hello"} in lines
    assert lines[-1]["kind"] == "end"


def test_a_runner_that_died_is_said_to_have_died(data: DataDir, tmp_path: Path) -> None:
    """With the command that goes on, and the run as it was."""
    row = created(data, tmp_path)
    (data.run(row.id) / "chain").unlink()
    with pytest.raises(Unavailable) as died:
        follow(data, row.id, on_line=lambda _: None)
    assert died.value.code == "runner-died"
    assert died.value.hint == f"ringfence runs resume {row.id}"


@pytest.mark.box
def test_with_a_passphrase_file_a_run_works_from_end_to_end(person: Any) -> None:
    """The runner finds it; with a wrong one, and with none, nothing runs and nothing is stored."""
    secret = person.home / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    env = {"RINGFENCE_PASSPHRASE_FILE": str(secret)}
    assert person("secrets", "set", "A", "--stdin", stdin="some-value", env=env).code == 0
    done = person("exec", "--", "echo", "ran", env=env)
    assert (done.code, done.out) == (0, "ran\n"), done.err
    wrong = person.home / "wrong"
    wrong.write_text("wrong horse battery\n")
    wrong.chmod(0o600)
    for other, code in ((str(wrong), "passphrase-wrong"), ("", "passphrase-needed")):
        refused = person("exec", "--", "echo", "ran", env={"RINGFENCE_PASSPHRASE_FILE": other})
        assert (refused.code, refused.out) == (4, ""), refused.err
        assert code in refused.err
        assert "Traceback" not in refused.err
        assert "internal-error" not in refused.err
    assert len(person("runs", "list", "--json").json["runs"]) == 1


def test_variables_come_from_the_person_and_are_checked(tmp_path: Path) -> None:
    """One the chain does not declare is refused."""
    path = tmp_path / "c.json"
    path.write_text(CHAIN % "true")
    with pytest.raises(InputError):
        read_chain(str(path), {"NOPE": "1"})
