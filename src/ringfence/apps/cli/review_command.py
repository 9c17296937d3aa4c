"""``ringfence review``: what waits for a person, what exactly is asked, and the answer."""

import json

import click

from ringfence.apps.answers import Shown, answer, look
from ringfence.apps.cli.progress import Printer, finish
from ringfence.apps.cli.tables import echo_table
from ringfence.apps.launch import follow
from ringfence.apps.settings import DataDir, open_data_dir, person
from ringfence.chain.show import plain
from ringfence.control.reviews import Review, ReviewKind
from ringfence.store.lock import RunLock
from ringfence.store.state import StateStore


@click.group("review")
def command() -> None:
    """List, show and answer reviews."""


def _reviews(data: DataDir, *, everything: bool) -> list[Review]:
    store = StateStore(data.state)
    try:
        return store.reviews(pending=not everything)
    finally:
        store.close()


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="answered and expired ones too")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def list_reviews(data_dir: str | None, *, everything: bool, as_json: bool) -> int:
    """List the reviews that wait for an answer."""
    reviews = _reviews(open_data_dir(data_dir), everything=everything)
    if as_json:
        click.echo(json.dumps({"version": 1, "reviews": [r.to_json() for r in reviews]}))
        return 0
    if not reviews:
        click.echo("nothing waits for a review", err=True)
        return 3
    echo_table(
        ("review", "kind", "run", "agent", "status", "expires", "question"),
        [
            (
                r.id,
                r.kind.value,
                r.run,
                r.agent,
                r.status.value,
                f"{r.expires:%Y-%m-%d %H:%M}",
                r.title,
            )
            for r in reviews
        ],
    )
    return 0


@command.command("show")
@click.argument("review")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(data_dir: str | None, review: str, *, as_json: bool) -> int:
    """Show exactly what would be approved, in full."""
    shown = look(open_data_dir(data_dir), review)
    if as_json:
        click.echo(json.dumps({"version": 1, **shown.to_json()}))
        return 0
    _print(shown)
    return 0


def _print(shown: Shown) -> None:
    review = shown.review
    click.echo(f"review    {review.id} ({review.status.value})")
    click.echo(f"question  {plain(review.title)}")
    click.echo(f"run       {review.run}, agent {review.agent}")
    click.echo(f"asked by  {review.requested_by} at {review.created:%Y-%m-%d %H:%M:%S %Z}")
    click.echo(f"expires   {review.expires:%Y-%m-%d %H:%M:%S %Z}")
    click.echo(f"digest    {review.digest}")
    for issue in shown.issues:
        click.echo(f"issue     {plain(issue)}")
    for part in shown.parts:
        click.echo()
        click.echo(f"--- {plain(part.name)} ({plain(part.note)})")
        # Only a line feed ends a line here: what else moves a cursor is shown, not obeyed.
        for line in part.text.split("\n"):
            click.echo(f"  {plain(line)}")
    if shown.changed:
        click.echo()
        click.echo("warning: this is no longer what was asked about; it cannot be approved")


def _answer(data_dir: str | None, review: str, *, approve: bool, reason: str, as_json: bool) -> int:
    data = open_data_dir(data_dir)
    answered = answer(data, review, actor=person(), approve=approve, reason=reason)
    word = "approved" if approve else "rejected"
    click.echo(f"{word} {answered.id} ({answered.digest[:12]})", err=True)
    if answered.kind is ReviewKind.MERGE:
        if as_json:
            click.echo(json.dumps({"version": 1, "review": answered.to_json()}))
        return 0
    with RunLock(data.run(answered.run)) as lock:
        alone = lock.held
    if not alone:
        click.echo(f"run {answered.run} goes on where it is running", err=True)
        return 0
    printer = Printer(agents=[])
    ended = follow(data, answered.run, on_line=printer.line)
    return finish(data, ended, printer, as_json=as_json)


@command.command("approve")
@click.argument("review")
@click.option("--reason", required=True, help="why; it goes on the record")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def approve(data_dir: str | None, review: str, reason: str, *, as_json: bool) -> int:
    """Approve exactly what ``review show`` shows, and go on with the run."""
    return _answer(data_dir, review, approve=True, reason=reason, as_json=as_json)


@command.command("reject")
@click.argument("review")
@click.option("--reason", required=True, help="why; it goes on the record")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def reject(data_dir: str | None, review: str, reason: str, *, as_json: bool) -> int:
    """Reject it, and go on with the run."""
    return _answer(data_dir, review, approve=False, reason=reason, as_json=as_json)
