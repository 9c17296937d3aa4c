"""Database and queue URLs with a password in them."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import CredentialRule, Sample, looks_made_up

# Passwords of examples and of throw-away local databases.
_HARMLESS = frozenset(
    b"password passwd pass pwd secret test admin root postgres mysql redis mongo guest user "
    b"default none null".split()
)


def _real_password(match: re.Match[bytes]) -> Severity | None:
    password, user = match.group("value"), match.group("user")
    if password.lower() in _HARMLESS or password == user or len(password) < 6:
        return None
    if password[:1] in b"$<{%[" or looks_made_up(password):
        return None
    return Severity.HIGH


URL = CredentialRule(
    id="database-url",
    title="Database URL with a password",
    why="The password, the user and the host stand together: it opens the database as it is.",
    fix="keep the URL with `ringfence secrets set NAME`, or leave the password out of it",
    keywords=(
        b"postgres",
        b"mysql://",
        b"mariadb://",
        b"mongodb",
        b"redis",
        b"amqp",
        b"mssql://",
    ),
    any_case=True,
    pattern=re.compile(
        rb"(?i:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql)"
        rb"(?:\+[a-z0-9]{1,16})?://(?P<user>[^\s:/@\"'<>]{0,64}+):"
        rb"(?P<value>[^\s/@\"'<>]{1,256}+)@[A-Za-z0-9\[]"
    ),
    confirm=_real_password,
    bad=(
        Sample(text=b"DATABASE_URL=postgres://app:" + b"f8Kz2qLw9x@db.test:5432/app", note="plain"),
        Sample(text=b"redis://:" + b"h4Vt7mRb3c@cache.test:6379/0", note="no user"),
        Sample(
            text=b"mongodb+srv://svc:" + b"n6Yp1sJd5g@cluster.test/x?w=majority", note="with +srv"
        ),
    ),
    good=(
        Sample(text=b"postgres://postgres:postgres@localhost:5432/app", note="a local example"),
        Sample(text=b"postgresql://app:${DB_PASSWORD}@db.test/app", note="a reference"),
        Sample(text=b"mysql://user:<your-password>@host/db", note="a placeholder"),
        Sample(text=b"postgres://db.test:5432/app", note="no password"),
    ),
)

RULES = (URL,)
