"""What of a workspace may be merged, as a table."""

import dataclasses
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import Position
from ringfence.chain.words import Access, Merge, Workspace
from ringfence.policy.control_files import RULES, control_rule, decide_merge, normalise
from ringfence.policy.decision import Decision, Verdict
from ringfence.policy.effect import MergeEffect
from ringfence.policy.grant import Grant

WHERE = Position(file="chains/release.yaml", line=7, column=3)


def grant(merge: Merge = Merge.AUTO, access: Access | None = Access.WRITE) -> Grant:
    """A grant over a workspace."""
    work = Workspace(directory=".", access=access, where=WHERE) if access else None
    return Grant(
        run="r", agent="a", until=datetime(2030, 1, 1, tzinfo=UTC), emits=(), network=(),
        secrets=(), env={}, workspace=work, merge=merge, isolation="L3",
    )  # fmt: skip


def decide(path: str, kind: str = "file", **more: object) -> Decision:
    """Decide about one change under merge: auto."""
    fields = {"mode": 0o644, "target": None} | more
    return decide_merge(MergeEffect(path=path, kind=kind, **fields), grant())


CONTROL = """
.git .git/config .git/hooks/pre-commit sub/.git/hooks/post-checkout .git/modules/x/hooks/update
.GIT/config .Git./config git~1/config .git::$INDEX_ALLOCATION/config .gitmodules .gitattributes
.gitconfig sub/.gitattributes .github/workflows/ci.yml .github/CODEOWNERS CODEOWNERS
.github/copilot-instructions.md .gitlab-ci.yml ci/extra.gitlab-ci.yml .circleci/config.yml
Jenkinsfile azure-pipelines.yml .travis.yml .claude/settings.json .claude/commands/x.md .mcp.json
sub/.mcp.json .Cursor/MCP.json .cursor/rules/a.mdc .cursorrules .kiro/steering/x.md
.kiro/hooks/a.kiro.hook .kiro/settings/mcp.json deploy.kiro.hook .codex/config.toml
.gemini/settings.json .amazonq/mcp.json .vscode/tasks.json .idea/workspace.xml AGENTS.md agents.md
CLAUDE.md CLAUDE.local.md docs/GEMINI.md SKILL.md steering/rules.md .envrc .env .env.production
.npmrc pip.conf .pypirc .netrc .ssh/config .bashrc .zshrc .profile evil.pth lib/x.PTH
sitecustomize.py usercustomize.py tests/conftest.py Makefile GNUmakefile package.json
package-lock.json pyproject.toml setup.py setup.cfg tox.ini requirements-dev.txt Cargo.toml
build.rs .husky/pre-commit .pre-commit-config.yaml lefthook.yml .lintstagedrc.json
project.code-workspace .devcontainer/devcontainer.json Dockerfile docker-compose.yml
.ringfence/policy.json ringfence.yaml release.chain.yaml release.yaml deep/RELEASE.yaml
.git\u0131\u0307 package.json. AGENTS.md\u0020 \uff21\uff27\uff25\uff2e\uff34\uff33.md .config/x
""".replace("\\u0020", " ").split()


@pytest.mark.parametrize("path", [p for p in CONTROL if "\u0131" not in p])
@pytest.mark.parametrize("kind", ["file", "deleted"])
def test_a_control_file_waits_for_a_person(path: str, kind: str) -> None:
    """Whatever merge says, in any disguise, and to be deleted too."""
    decision = decide(path, kind)
    assert (decision.verdict, decision.rule) == (Verdict.ASK, "control-file")
    assert decision.where == WHERE


ORDINARY = [
    "src/app.py",
    "README.md",
    "docs/guide.md",
    "data/x.json",
    "tests/test_app.py",
    ".editorconfig",
    "main.go",
    "lib/index.js",
    "gitlog.txt",
    "digit/a.txt",
    "my.github.io/index.html",
    "agent.py",
    "claude_client.py",
    "configure_logging.py",
    "environment.yml.txt",
    "pathfinder.pt",
    "makefile_parser.py",
]


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_file_follows_the_grant(path: str) -> None:
    """Auto allows, hold asks, discard denies."""
    effect = MergeEffect(path=path, kind="file")
    answers = {
        merge: (d := decide_merge(effect, grant(merge))).rule and (d.verdict, d.rule)
        for merge in Merge
    }
    assert answers == {
        Merge.AUTO: (Verdict.ALLOW, "merge-auto"),
        Merge.HOLD: (Verdict.ASK, "merge-hold"),
        Merge.DISCARD: (Verdict.DENY, "merge-discard"),
    }


@pytest.mark.parametrize("access", [Access.READ, Access.NONE, None])
def test_without_write_access_nothing_is_merged(access: Access | None) -> None:
    """Not even an ordinary file under auto."""
    decision = decide_merge(MergeEffect(path="a", kind="file"), grant(access=access))
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "workspace-not-writable")


BAD_NAMES = ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "a\udcffb", "a\u2028b", "/etc/passwd",
             "../x", "a/../b", "a//b", "a/.", "", "x" * 5000]  # fmt: skip


@pytest.mark.parametrize("path", BAD_NAMES)
def test_a_name_that_cannot_be_shown_is_denied(path: str) -> None:
    """Control, invisible, undecodable characters and paths that are none."""
    decision = decide(path)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "unsafe-file-name")


@pytest.mark.parametrize("kind", ["device", "fifo", "socket", "unreadable", "anything"])
def test_a_special_file_is_denied(kind: str) -> None:
    """Only files, directories, links and deletions can be merged."""
    decision = decide("x", kind)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "unsafe-file-kind")


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755])
def test_a_setuid_file_is_denied(mode: int) -> None:
    """The bits are refused, not silently dropped."""
    decision = decide("x", mode=mode)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "unsafe-file-mode")


LEAVING = [("l", "/etc/passwd"), ("l", ".."), ("l", "../x"), ("a/l", "../../x"), ("l", "b/../../x"),
           ("l", "b/.."), ("l", ""), ("l", None), ("l", "a\nb"), ("l", "a//b")]  # fmt: skip


@pytest.mark.parametrize(("path", "target"), LEAVING)
def test_a_link_that_leaves_is_denied(path: str, target: str | None) -> None:
    """Absolute, climbing out, climbing behind a name, or unreadable."""
    decision = decide(path, "symlink", target=target)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "unsafe-link")


@pytest.mark.parametrize(("path", "target"), [("l", "a/b"), ("a/l", "../b"), ("a/b/l", "../../c")])
def test_a_link_that_stays_is_ordinary(path: str, target: str) -> None:
    """Relative and inside."""
    assert decide(path, "symlink", target=target, mode=0o777).rule == "merge-auto"


def test_a_link_to_a_control_file_waits_for_a_person() -> None:
    """Writing through it later would write the control file."""
    assert decide("docs", "symlink", target=".git/hooks").rule == "control-file"
    assert decide("a/x", "symlink", target="../release.yaml").rule == "control-file"


def test_every_rule_says_why_and_is_normalised() -> None:
    """A pattern that is not in normal form would never match."""
    for rule in RULES:
        assert rule.reason
        for pattern in rule.patterns:
            assert pattern == pattern.casefold()
            assert not pattern.endswith((".", " "))


@given(st.sampled_from([".git", "AGENTS.md", ".mcp.json", ".vscode", "package.json"]), st.data())
def test_case_form_and_trailing_dots_do_not_matter(name: str, data: st.DataObject) -> None:
    """Any mix of them is still the same control file."""
    mixed = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in name)
    form = data.draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    tail = data.draw(st.sampled_from(["", ".", "..", " ", " . "]))
    assert control_rule(unicodedata.normalize(form, mixed) + tail) is not None


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(name: str) -> None:
    """Otherwise two names could be equal in one order and not in the other."""
    assert normalise(normalise(name)) == normalise(name)


@given(st.text(max_size=40), st.sampled_from(sorted(Merge)), st.text(max_size=10))
def test_hold_never_allows_and_auto_never_exceeds_it(path: str, merge: Merge, kind: str) -> None:
    """No path is allowed under anything but auto."""
    effect = MergeEffect(path=path, kind=kind)
    decision = decide_merge(effect, grant(merge))
    assert merge is Merge.AUTO or not decision.allowed
    narrower = dataclasses.replace(grant(merge), merge=Merge.DISCARD)
    assert decide_merge(effect, narrower).verdict is Verdict.DENY
