"""Slack: bot, user and app tokens, and incoming web hooks (Slack API, "Token types")."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, random_enough

_TAIL = b"vN4kQz8RtW2xLb6YpC9mJd3H"
_NUMBERS = b"2419873650" + b"12-" + b"3870264915" + b"47-"

TOKEN = CredentialRule(
    id="slack-token",
    title="Slack token",
    why="It reads or writes in a Slack workspace.",
    fix="keep it with `ringfence secrets set NAME` and bind it to slack.com in `secrets:`",
    keywords=(b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xoxs-", b"xapp-"),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>(?:xox[bpars]-(?:[0-9]{1,2}-)?(?:[0-9]{9,14}-){1,3}+"
        rb"|xapp-[0-9]-[A-Z0-9]{8,12}-[0-9]{9,14}-)[A-Za-z0-9]{20,72}+)(?![A-Za-z0-9_-])"
    ),
    confirm=random_enough(Severity.CRITICAL),
    bad=(
        Sample(text=b"SLACK=xoxb-" + _NUMBERS + _TAIL, note="a bot token"),
        Sample(
            text=b"xapp-1-A04K2QF9Z7B-" + b"5163920748" + b"32-" + _TAIL * 2, note="an app token"
        ),
    ),
    good=(
        Sample(text=b"xoxb-your-token-here", note="a placeholder"),
        Sample(text=b"xoxb-" + _NUMBERS + b"x" * 24, note="a made-up tail"),
    ),
)

WEBHOOK = CredentialRule(
    id="slack-webhook",
    title="Slack incoming web hook",
    why="Whoever knows the URL can post in the channel.",
    fix="keep the URL with `ringfence secrets set NAME`",
    keywords=(b"hooks.slack.com/services/",),
    pattern=re.compile(
        rb"(?P<value>hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24})"
        rb"(?![A-Za-z0-9])"
    ),
    confirm=random_enough(Severity.HIGH),
    bad=(
        Sample(
            text=b"https://hooks.slack.com/services/" + b"T04K2QF9Z/B05M3RG8Y/" + _TAIL,
            note="plain",
        ),
        Sample(
            text=b'{"url":"https://hooks.slack.com/services/'
            + _TAIL[::-1].join((b"T7QX2M9KD4/B8RY3N0LE5/", b'"}')),
            note="in JSON",
        ),
    ),
    good=(
        Sample(text=b"https://hooks.slack.com/services/T000/B000/XXXX", note="the documentation's"),
        Sample(
            text=b"hooks.slack.com/services/T04K2QF9Z/B05M3RG8Y/" + b"X" * 24, note="a placeholder"
        ),
    ),
)

RULES = (TOKEN, WEBHOOK)
