"""Control files: what of a workspace's changes may come back, and what a person must see first.

A control file makes somebody else's program do something later: a hook, a CI job, an editor
task, an agent's instructions, a start-up file, a build script. An agent that may write one has
escaped in time, if not in space (the 2026 configuration escapes of five agent clients).

Invariants:
1. A control file is never merged without a person, whatever the grant says; nor is its deletion.
2. Names are compared as the laxest file system would: case folded, compatibility-normalised,
   without trailing dots and spaces, without NTFS stream and short-name disguises.
3. What cannot be shown or is no plain file, directory or inner link is denied.
4. The table below is the whole rule; every line says why it is there.

Not control files, on purpose: ``.editorconfig`` (it can only change white space) and ordinary
source and test files: a program is what the agent was asked to change. ``conftest.py`` is one,
because editors run it on opening the folder.
"""

import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ringfence.chain.errors import Position
from ringfence.chain.words import Access, Merge
from ringfence.policy.decision import Decision
from ringfence.policy.effect import MergeEffect
from ringfence.policy.grant import Grant

PLAIN_KINDS = frozenset({"file", "dir", "symlink", "deleted"})
SET_ID = 0o6000
LONGEST_PATH = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRule:
    """Patterns (normalised, `*` and `?`) and why a match needs a person.

    With ``folder`` a match of any component counts, so everything below it does too; otherwise
    the last component has to match, in whatever directory it stands.
    """

    reason: str
    patterns: tuple[str, ...]
    folder: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


RULES: tuple[ControlRule, ...] = (
    ControlRule(
        reason="git runs hooks, filters and commands from it",
        patterns=_names(".git git~? .githooks .hg .svn .jj .gitmodules .gitattributes .gitconfig"),
        folder=True,
    ),
    ControlRule(
        reason="git reads commands, filters or credentials' places from it",
        patterns=_names(".lfsconfig .hgrc *.gitconfig"),
    ),
    ControlRule(
        reason="CI runs it with the project's credentials",
        patterns=_names(".github .gitlab .gitea .forgejo .circleci .buildkite .woodpecker .azure"),
        folder=True,
    ),
    ControlRule(
        reason="CI runs it with the project's credentials",
        patterns=_names(
            "*.gitlab-ci.yml *.gitlab-ci.yaml .travis.y*ml azure-pipelines*.y*ml .drone.y*ml"
            " bitbucket-pipelines.y*ml jenkinsfile* *.jenkinsfile appveyor.y*ml .appveyor.y*ml"
            " cloudbuild*.y*ml buildspec*.y*ml .woodpecker.y*ml .cirrus.y*ml circle.y*ml"
            " .semaphore.y*ml codefresh.y*ml renovate.json* .renovaterc*"
        ),
    ),
    ControlRule(
        reason="it decides who has to approve changes",
        patterns=_names("codeowners owners maintainers.yaml"),
    ),
    ControlRule(
        reason="an agent client takes its settings, tools or instructions from it",
        patterns=_names(
            ".claude .kiro .codex .gemini .cursor .amazonq .agents .agent .continue .windsurf"
            " .clinerules .roo .aider .copilot .opencode .junie .qwen .goose .trae .augment .q"
        ),
        folder=True,
    ),
    ControlRule(
        reason="an agent client takes its settings, tools or instructions from it",
        patterns=_names(
            "*.mcp.json mcp.json mcp_config.json agents*.md claude*.md gemini*.md qwen.md codex.md"
            " warp.md skill.md .cursorrules .cursorignore .windsurfrules .clinerules .roomodes"
            " .roorules* .aider* copilot-instructions.md *.instructions.md *.prompt.md .goosehints"
            " *.chatmode.md *.agent.md *.kiro.hook .claude*.json .geminiignore .rules llms*.txt"
            " opencode.json*"
        ),
    ),
    ControlRule(
        reason="an agent is steered by it",
        patterns=("steering",),
        folder=True,
    ),
    ControlRule(
        reason="an editor runs tasks or loads extensions from it when the folder is opened",
        patterns=_names(".vscode .idea .fleet .zed .vim .nvim .devcontainer .settings .vs"),
        folder=True,
    ),
    ControlRule(
        reason="an editor runs tasks or loads extensions from it when the folder is opened",
        patterns=_names(
            "*.code-workspace *.sublime-project .dir-locals.el .dir-locals-2.el .exrc .nvimrc"
            " .nvim.lua .vimrc .lvimrc .emacs .devcontainer.json .projectile"
        ),
    ),
    ControlRule(
        reason="a commit or push runs it",
        patterns=_names(".husky .lefthook .lefthook-local"),
        folder=True,
    ),
    ControlRule(
        reason="a commit or push runs it",
        patterns=_names(
            ".pre-commit-config.y*ml .pre-commit-hooks.y*ml *lefthook*.y*ml *lefthook*.toml"
            " *lefthook*.json .overcommit.yml .huskyrc* .lintstagedrc* lint-staged.config.*"
            " .simple-git-hooks.* simple-git-hooks.* captainhook.json grumphp.y*ml"
        ),
    ),
    ControlRule(
        reason="a shell or terminal runs it at start",
        patterns=_names(
            ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv"
            " .zprofile .zlogin .zlogout .kshrc .cshrc .tcshrc .login .logout .inputrc config.fish"
            " .envrc .direnvrc .tmux.conf .screenrc .xinitrc .xprofile .autoenv .in .out"
            " .tool-versions .mise*.toml mise*.toml .asdfrc devbox.json flake.nix shell.nix"
        ),
    ),
    ControlRule(
        reason="tools load variables (proxies, endpoints, flags) from it",
        patterns=_names(".env .env.* *.env"),
    ),
    ControlRule(
        reason="it redirects where tools fetch code from or send credentials to",
        patterns=_names(
            ".npmrc .yarnrc .yarnrc.* .pnpmfile.* .pnpmrc bunfig.toml pip.conf pip.ini .pypirc"
            " .pydistutils.cfg .condarc uv.toml .gemrc .netrc _netrc .curlrc .wgetrc nuget.config"
            " .bazelrc .buckconfig init.gradle* gradle.properties .dockercfg .terraformrc"
        ),
    ),
    ControlRule(
        reason="it holds a person's credentials and the programs that use them",
        patterns=_names(".ssh .aws .gnupg .kube .docker .azure .config .local .cargo .mvn .gradle"),
        folder=True,
    ),
    ControlRule(
        reason="Python runs it at every start, or an editor does on opening the folder",
        patterns=_names(
            "*.pth *.egg-link sitecustomize.py* usercustomize.py* sitecustomize.*.so"
            " usercustomize.*.so conftest.py pyvenv.cfg ._pth *._pth .pdbrc .pythonrc*"
        ),
    ),
    ControlRule(
        reason="a build, install or test runs commands or fetches code because of it",
        patterns=_names(
            "makefile gnumakefile *.mk makefile.* justfile .justfile taskfile.y*ml package.json"
            " package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.y*ml pnpm-workspace.y*ml"
            " pyproject.toml setup.py setup.cfg tox.ini noxfile.py pipfile pipfile.lock poetry.lock"
            " uv.lock pdm.lock requirements*.txt requirements*.in constraints*.txt hatch_build.py"
            " cargo.toml cargo.lock build.rs go.mod go.sum go.work *.gradle *.gradle.kts gradlew*"
            " pom.xml mvnw* gemfile gemfile.lock rakefile *.gemspec composer.json composer.lock"
            " gruntfile.* gulpfile.* binding.gyp cmakelists.txt *.cmake meson.build configure"
            " dockerfile* *.dockerfile containerfile* docker-compose*.y*ml compose*.y*ml"
            " vagrantfile procfile* tiltfile* skaffold.y*ml workspace.bazel module.bazel"
            " build.bazel *.bzl .babelrc* jest.config.* vite.config.* vitest.config.*"
            " webpack.config.* rollup.config.* next.config.* eslint.config.* .eslintrc*"
            " prettier.config.* .prettierrc* postcss.config.* tailwind.config.* pytest.ini"
        ),
    ),
    ControlRule(
        reason="Ringfence itself is governed by it",
        patterns=(".ringfence",),
        folder=True,
    ),
    ControlRule(
        reason="Ringfence itself is governed by it",
        patterns=_names("ringfence.* *.chain.json *.chain.y*ml"),
    ),
)


def normalise(name: str) -> str:
    """Give a name as the laxest file system would compare it."""
    lax = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return lax.partition(":")[0].rstrip(". ") or lax


def control_rule(path: str) -> ControlRule | None:
    """Give the rule that makes a path a control file; None when it is an ordinary one."""
    parts = [normalise(part) for part in path.split("/")]
    for rule in RULES:
        for part in parts if rule.folder else parts[-1:]:
            if any(fnmatchcase(part, pattern) for pattern in rule.patterns):
                return rule
    return None


def _unsafe_path(path: str) -> str | None:
    """Say what is wrong with a path, or None."""
    if not path or len(path) > LONGEST_PATH or path.startswith("/"):
        return "it is empty, too long or absolute"
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "it has an empty, . or .. component"
    # Cc control, Cf format (zero-width, bidi), Cs undecodable byte, Co and Cn unknown, Zl/Zp lines
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    if any(unicodedata.category(character) in bad for character in path):
        return "its name holds control, invisible or undecodable characters"
    return None


def _unsafe_link(path: str, target: str) -> str | None:
    """Say why a link may leave the workspace, or None.

    A `..` is only judged at the front: after a name, which may be a link, nobody can say where
    it leads.
    """
    parts = target.split("/")
    climbs = next((i for i, part in enumerate(parts) if part not in {"..", "."}), len(parts))
    if _unsafe_path("/".join(parts[climbs:]) or "here") is not None:
        return "its target is absolute or cannot be judged"
    if parts[:climbs].count("..") > path.count("/"):
        return "its target is outside the workspace"
    return None


def _refused(effect: MergeEffect, where: Position) -> Decision | None:
    """Give the denial of what is never merged; None when the effect is of a safe kind."""
    rule, why, fix = "", None, ""
    if (why := _unsafe_path(effect.path)) is not None:
        rule, fix = "unsafe-file-name", "rename it in the workspace"
    elif effect.kind not in PLAIN_KINDS:
        rule, why = "unsafe-file-kind", f"it is a {effect.kind}, not a file, directory or link"
    elif effect.mode & SET_ID and effect.kind != "symlink":
        rule, why, fix = "unsafe-file-mode", "it is setuid or setgid", "remove the bit"
    elif effect.kind == "symlink":
        rule, why = "unsafe-link", _unsafe_link(effect.path, effect.target or "/")
        fix = "use a relative link that stays inside"
    return None if why is None else Decision.deny(rule, why, where=where, fix=fix)


def _control(effect: MergeEffect, where: Position) -> ControlRule | None:
    """Give why a person has to look: the table, the chain's own file, or a link to either."""
    paths = [effect.path]
    if effect.kind == "symlink" and effect.target:
        paths.append("/".join(p for p in effect.target.split("/") if p not in {"", ".", ".."}))
    own = normalise(where.file.rpartition("/")[2])
    for path in paths:
        if normalise(path.rpartition("/")[2]) == own:
            return ControlRule(reason="it is named like the chain of this run", patterns=(own,))
        if (rule := control_rule(path)) is not None:
            return rule
    return None


def decide_merge(effect: MergeEffect, grant: Grant) -> Decision:
    """Say whether one change may be merged into the workspace: allow, ask a person, or deny."""
    work = grant.workspace
    if work is None or work.access is not Access.WRITE:
        return Decision.deny(
            "workspace-not-writable",
            "the agent was not granted to write its workspace",
            where=None if work is None else work.where,
            fix="set workspace.access to write",
        )
    where = work.where
    if (denied := _refused(effect, where)) is not None:
        return denied
    if grant.merge is Merge.DISCARD:
        return Decision.deny(
            "merge-discard", "the grant discards all changes", where=where, fix="set merge to hold"
        )
    if (control := _control(effect, where)) is not None:
        return Decision.ask("control-file", control.reason, where=where)
    if grant.merge is Merge.AUTO:
        return Decision.allow("merge-auto", "an ordinary file, and merge is auto", where=where)
    return Decision.ask("merge-hold", "merge is hold: a person looks first", where=where)
