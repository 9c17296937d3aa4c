"""What a person answers to is what was shown, byte for byte, or the answer does not count."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.answers import answer, look
from ringfence.apps.opening import open_audit
from ringfence.chain.errors import InputError, Refused
from ringfence.control.reviews import ReviewStatus


def approve(held: Any, **changes: Any) -> Any:
    """Approve the one review as a person."""
    fields = {"actor": "user:ana", "approve": True, "reason": "read it", **changes}
    return answer(held.data, "v1", **fields)


def events(held: Any) -> list[tuple[str, str]]:
    """Give event and subject of every record."""
    with open_audit(held.data) as log:
        bodies = [json.loads(entry.data) for entry in log.read()]
    return [(body["event"], body["subject"]) for body in bodies]


def test_what_is_held_is_shown_in_full(held: Any) -> None:
    """Content, kind, mode and link target of every file; bytes that are no text as hexadecimal."""
    (held.upper / "run.sh").write_text("#!/bin/sh\n")
    (held.upper / "run.sh").chmod(0o755)
    (held.upper / "blob").write_bytes(b"\xff\x00\xfe\x01\xfd")
    (held.upper / "link").symlink_to("/etc/passwd")
    held.ask()
    parts = {part.name: (part.note, part.text) for part in look(held.data, "v1").parts}
    assert parts["run.sh"] == ("file, mode 755", "#!/bin/sh\n")
    assert parts["blob"][0].endswith("binary, hexadecimal")
    assert parts["blob"][1].replace(" ", "") == "ff00fe01fd"
    assert parts["link"][0].startswith("link to /etc/passwd")


def test_an_approval_applies_exactly_what_was_shown(held: Any) -> None:
    """All files of the question, and the record stands before the files do."""
    (held.tree / "old").write_text("1")
    (held.upper / "old").write_text("2")
    (held.upper / "new").write_text("3")
    held.ask()
    assert approve(held).status is ReviewStatus.APPROVED
    assert {p.name: p.read_text() for p in held.tree.iterdir()} == {"old": "2", "new": "3"}
    assert events(held) == [
        ("review.approve", "v1"), ("merge.apply", "new"), ("merge.apply", "old"),
    ]  # fmt: skip


def test_a_file_changed_after_the_question_cannot_be_approved(held: Any) -> None:
    """Also with the same size; put back as it was, the same answer passes."""
    file = held.upper / "f"
    file.write_text("harmless")
    held.ask()
    assert not look(held.data, "v1").changed
    file.write_text("harmful!")
    assert look(held.data, "v1").changed
    with pytest.raises(Refused) as refusal:
        approve(held)
    assert refusal.value.code == "approval-invalid"
    assert list(held.tree.iterdir()) == []
    assert events(held) == [("review.invalid", "v1")]
    file.write_text("harmless")
    approve(held)
    assert (held.tree / "f").read_text() == "harmless"


def test_a_question_about_something_changed_can_still_be_rejected(held: Any) -> None:
    """No is always a possible answer."""
    (held.upper / "f").write_text("a")
    held.ask()
    (held.upper / "f").unlink()
    assert approve(held, approve=False).status is ReviewStatus.REJECTED
    assert list(held.tree.iterdir()) == []


def test_one_conflict_does_not_take_the_others_away(held: Any) -> None:
    """A path the host changed stays as the host has it; the record says which was not merged."""
    for name in ("a", "b", "c"):
        (held.upper / name).write_text("agent")
    held.ask()
    (held.tree / "b").write_text("mine")
    with pytest.raises(Refused) as refusal:
        approve(held)
    assert refusal.value.code == "merge-conflict"
    found = {p.name: p.read_text() for p in held.tree.iterdir()}
    assert found == {"a": "agent", "b": "mine", "c": "agent"}
    assert ("merge.drop", "b") in events(held)
    assert ("merge.drop", "a") not in events(held)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"actor": "agent:r1/writer"}, "approver-not-a-person"),
        ({"actor": "engine"}, "approver-not-a-person"),
        ({"reason": "  "}, "review-needs-reason"),
    ],
    ids=["the asking agent", "the engine", "no reason"],
)
def test_an_answer_that_does_not_count_is_recorded(
    held: Any, changes: dict[str, str], rule: str
) -> None:
    """Nothing is merged and the question stays open for somebody who may answer."""
    (held.upper / "f").write_text("a")
    held.ask()
    with pytest.raises(Refused) as refusal:
        approve(held, **changes)
    assert refusal.value.code == rule
    assert list(held.tree.iterdir()) == []
    assert events(held) == [("review.invalid", "v1")]
    approve(held)
    assert (held.tree / "f").exists()


def test_an_expired_question_takes_no_answer(held: Any) -> None:
    """Neither yes nor no."""
    (held.upper / "f").write_text("a")
    held.ask(expires=timedelta(seconds=-1))
    for yes in (True, False):
        with pytest.raises(Refused) as refusal:
            approve(held, approve=yes)
        assert refusal.value.code == "review-expired"
    assert list(held.tree.iterdir()) == []


def test_an_answer_is_given_once(held: Any) -> None:
    """The second is refused, also when it says the same."""
    (held.upper / "f").write_text("a")
    held.ask()
    approve(held)
    with pytest.raises(Refused) as refusal:
        approve(held)
    assert refusal.value.code == "review-not-pending"
    assert events(held).count(("merge.apply", "f")) == 1


def test_an_unknown_review_is_said_to_be_unknown(held: Any, tmp_path: Path) -> None:
    """With the command that lists them."""
    with pytest.raises(InputError) as unknown:
        look(held.data, "v9")
    assert unknown.value.code == "unknown-review"
    assert "review list" in unknown.value.hint
