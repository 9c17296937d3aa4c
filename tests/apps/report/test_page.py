"""The report says what the view says, and whatever an agent wrote stays text."""

import dataclasses
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.apps.report import page as page_module
from ringfence.apps.report import render, write_report
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Unavailable
from ringfence.control.reading import read_run
from ringfence.control.view import RunView

Views = dict[str, RunView]
HOSTILE = "\"'><script>window.hit=1</script><img src=x onerror=hit()>{{7*7}}\u202e\x00\ud800"


class Reader(HTMLParser):
    """Collects elements, attributes, ids and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text outside of the style."""
        if not self.tags or self.tags[-1][0] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """Give the text with white space evened out."""
        return " ".join("".join(self.words).split())


def read(html: str) -> Reader:
    """Give a page taken apart."""
    reader = Reader()
    reader.feed(html)
    return reader


def poisoned(value: Any) -> Any:
    """Give a view in which every text is hostile; keys between its parts stay equal."""
    if isinstance(value, Enum | datetime) or value is None:
        return value
    if isinstance(value, str):
        return f"{value}{HOSTILE}"
    if isinstance(value, tuple):
        return tuple(poisoned(member) for member in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: poisoned(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    return value


def test_the_first_screen_answers_the_three_questions(views: Views) -> None:
    """Success, what was blocked, what waits: before anything else."""
    benign = read(render(views["benign"])).text
    assert "Did it succeed? ✓ Succeeded 4 of 4 agents succeeded" in benign
    assert "What was blocked? ✓ Nothing" in benign
    assert "What waits for you? ✓ Nothing" in benign
    attack = read(render(views["attack"])).text
    assert "What was blocked? ✕ 12 refused 10 different, by 5 rules 6" in attack
    waiting = read(render(views["waiting"])).text
    assert "What waits for you? ‖ 1 review, 1 held change" in waiting
    assert "ringfence review show rv-19" in waiting


def test_a_record_that_does_not_verify_comes_first(views: Views) -> None:
    """Nobody reads a success before reading that the log is damaged."""
    text = read(render(views["failed"])).text
    assert text.index("The record does not verify") < text.index("Did it succeed?")
    unchecked = dataclasses.replace(views["benign"], verification=None)
    assert "The record was not checked" in read(render(unchecked)).text


def test_degraded_modes_are_shown_at_the_top(views: Views) -> None:
    """A weaker delivery of a secret is named before the outcome."""
    text = read(render(views["failed"])).text
    assert text.index("NPM_TOKEN is delivered by environment") < text.index("Did it succeed?")


def test_every_refusal_has_rule_reason_and_place(views: Views) -> None:
    """What was denied is listed in full."""
    text = read(render(views["attack"])).text
    for word in ("no-route", "private-address", "secret-host", "event-not-declared"):
        assert word in text
    assert "no network rule of this agent names the host at chains/notes.yaml:21:9" in text


def test_hidden_characters_are_spelled_out(views: Views) -> None:
    """A path with a bidirectional override is shown with the override written out."""
    html = render(views["attack"])
    assert "\u202e" not in html
    assert "⟨U+202E⟩evil.yml" in html


def test_the_page_is_closed_to_everything(views: Views) -> None:
    """No script, no form, no frame, no address but its own sections, a policy that forbids all."""
    for view in views.values():
        reader = read(render(view))
        names = {tag for tag, _ in reader.tags}
        assert not names & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
        policy = [a["content"] for _, a in reader.tags if a.get("http-equiv")]
        assert len(policy) == 1
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri 'none'; "
            r"form-action 'none'",
            policy[0] or "",
        )
        for _, attributes in reader.tags:
            assert not [a for a in attributes if a.startswith("on") or a in {"style", "src"}]
            assert (attributes.get("href") or "#").startswith("#")


def test_ids_are_unique_and_links_lead_somewhere(views: Views) -> None:
    """Every jump has a target and every label exists."""
    for view in views.values():
        reader = read(render(view))
        ids = [a["id"] for _, a in reader.tags if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in reader.tags:
            for wanted in (attributes.get("aria-labelledby") or "").split():
                assert wanted in ids
            href = attributes.get("href")
            assert href is None or href[1:] in ids


def test_hostile_text_in_every_field_stays_text(views: Views) -> None:
    """The same elements and attributes appear whether the texts are harmless or hostile."""
    for view in views.values():
        html = render(poisoned(view))
        html.encode("utf-8")
        names = {tag for tag, _ in read(html).tags}
        assert not names & {"script", "img"}
        assert "{{7*7}}" in html  # shown as written, not evaluated
        assert "\u202e" not in html
        assert "\x00" not in html
        for _, attributes in read(html).tags:
            assert "onerror" not in attributes


def test_hostile_text_would_get_through_without_escaping(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard off: with escaping switched off the same view brings a script into the page."""
    whole = page_module._environment

    def unguarded() -> Any:
        environment = whole()
        environment.autoescape = False
        return environment

    monkeypatch.setattr(page_module, "_environment", unguarded)
    assert "script" in {tag for tag, _ in read(render(poisoned(views["attack"]))).tags}


def test_hidden_text_would_get_through_without_the_finaliser(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard off: without it the override stands raw in the page."""
    monkeypatch.setattr(page_module, "_shown", lambda value: "" if value is None else value)
    assert "\u202e" in render(views["attack"])


def test_the_template_has_no_way_around_escaping() -> None:
    """`safe` and autoescape blocks do not occur."""
    text = resources.files("ringfence.apps.report").joinpath("page.html").read_text()
    assert not re.search(r"\|\s*safe|autoescape|Markup|~", text)


def test_ids_that_are_not_plain_are_kept_out_of_commands(views: Views) -> None:
    """A person who copies a command copies nothing an agent wrote."""
    view = views["waiting"]
    odd = dataclasses.replace(view.reviews[0], id="rv; rm -rf ~")
    html = render(dataclasses.replace(view, reviews=(odd,)))
    assert "ringfence review show" not in html


def test_an_empty_run_and_an_unreadable_one_are_pages_too(views: Views) -> None:
    """No record at all still gives a page that says so."""
    text = read(render(read_run("r-1", []))).text
    assert "No end on the record" in text
    assert "No agent is on the record" in text


ODD = st.one_of(
    st.none(), st.integers(), st.text(max_size=6), st.lists(st.text(max_size=3), max_size=2)
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Record,
            time=st.datetimes(timezones=st.just(UTC)),
            event=st.sampled_from(list(EventName)),
            actor=st.text(max_size=4),
            run=st.just("r"),
            step=st.sampled_from([None, "a#1", "#", "b#x"]),
            agent=st.sampled_from([None, "a", "b", ""]),
            rule=st.sampled_from([None, "rule"]),
            decision=st.sampled_from([None, "allow", "ask", "deny"]),
            reason=st.sampled_from([None, "because"]),
            subject=st.one_of(st.none(), st.text(max_size=6)),
            detail=st.fixed_dictionaries(
                {"id": st.just("q"), "status": st.sampled_from(["failed", "odd"])},
                optional={"title": ODD, "secrets": ODD, "exit_code": ODD, "count": ODD},
            ),
        ),
        max_size=15,
    )
)
def test_any_records_give_a_page(records: list[Record]) -> None:
    """Half-told runs render too: no field is assumed to be there."""
    page = render(read_run("r", enumerate(records)))
    assert page.endswith("</html>")


def test_a_flood_of_rows_is_cut_and_counted(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page stays readable and says how many rows are left out."""
    monkeypatch.setattr(page_module, "MOST_ROWS", 3)
    text = read(render(views["attack"])).text
    assert "7 more rows are not on this page" in text


def test_the_same_view_gives_the_same_page(stories: dict[str, Callable[[], Any]]) -> None:
    """Reports can be compared byte by byte."""
    assert render(stories["benign"]().view()) == render(stories["benign"]().view())


def test_the_file_is_private_and_whole(tmp_path: Path, views: Views) -> None:
    """Mode 0600, the page itself, and nothing else left in the directory."""
    path = tmp_path / "report.html"
    write_report(views["benign"], path)
    assert path.read_text(encoding="utf-8") == render(views["benign"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path, views: Views) -> None:
    """A symbolic link planted at the path does not redirect the write."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "report.html"
    path.symlink_to(victim)
    write_report(views["benign"], path)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path, views: Views) -> None:
    """The caller gets one of the four kinds of error."""
    with pytest.raises(Unavailable) as caught:
        write_report(views["benign"], tmp_path / "missing" / "report.html")
    assert caught.value.code == "report-not-written"
