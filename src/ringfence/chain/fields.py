"""The one table of fields of a chain file: `parse` and the JSON Schema are both made from it.

A field that could be mistaken for a guard and that nothing enforces yet is in the table with
``refused``: a guard that is silently ignored is worse than none (R3).
"""

from ringfence.chain import grammar
from ringfence.chain.shape import (
    Choice,
    Duration,
    Field,
    Free,
    ListOf,
    MapOf,
    Record,
    Text,
    Whole,
)
from ringfence.chain.words import Access, Action, AgentType, Delivery, Merge

API_VERSION = "ringfence/v1"
MOST_AGENTS = 150

_NAME = Text(says="a lower-case name such as release-notes", pattern=grammar.NAME, longest=64)
_EVENT = Text(says="an event such as notes:drafted", pattern=grammar.EVENT, longest=128)
_FILE = Text(
    says="a plain file name (letters, digits, . _ -; no folder, no leading dot)",
    pattern=grammar.FILE,
    longest=128,
)
_ENV = Text(says="a variable name such as API_TOKEN", pattern=grammar.ENV, longest=128)
_SECRET = Text(
    says="a secret's name such as GITHUB_TOKEN or github-token",
    pattern=grammar.SECRET,
    longest=64,
)
_LINE = Text(says="one line of text", pattern=r"[^\r\n]*", longest=1_024)
_LATER = "remove it; the release notes say when it comes"

NETWORK = Record(
    what="a network rule",
    fields=(
        Field(
            name="host",
            doc="Exact host, or * as the whole left label: api.example.com, *.example.com.",
            shape=Text(
                says="a lower-case host such as api.example.com or *.example.com",
                pattern=grammar.HOST,
                longest=253,
            ),
            required=True,
        ),
        Field(
            name="port",
            doc="Port; 443, or 80 for scheme http, when not given.",
            shape=Whole(least=1, most=65_535),
        ),
        Field(
            name="scheme",
            doc="https (the default) or http.",
            shape=Choice(values=("https", "http")),
        ),
        Field(
            name="methods",
            doc="Methods the rule is about; any when not given.",
            shape=ListOf(
                item=Text(
                    says="an upper-case method such as GET", pattern=grammar.METHOD, longest=32
                ),
                least=1,
                most=16,
            ),
        ),
        Field(
            name="paths",
            doc="Path globs the rule is about; any when not given. * stays in one segment, "
            "** does not.",
            shape=ListOf(
                item=Text(
                    says='a path glob such as /repos/*/issues (from "/", no "..", not encoded)',
                    pattern=grammar.PATH,
                    longest=1_024,
                ),
                least=1,
                most=64,
            ),
        ),
        Field(
            name="maxBodyBytes",
            doc="Most bytes a request may carry up.",
            shape=Whole(least=0, most=1024**3),
        ),
        Field(
            name="graphqlOperations",
            doc="Root fields a GraphQL request may ask for; nothing else passes.",
            shape=ListOf(
                item=Text(says="a GraphQL name", pattern=grammar.GRAPHQL, longest=128),
                least=1,
                most=128,
            ),
        ),
        Field(
            name="allowPrivate",
            doc="Private address blocks the host may resolve to, such as 10.1.0.0/16.",
            shape=ListOf(
                item=Text(says="an address block", pattern=r"[0-9a-f.:/]+", longest=64),
                least=1,
                most=16,
            ),
        ),
        Field(
            name="action",
            doc="allow (the default), deny, or hold for a person.",
            shape=Choice(values=tuple(Action)),
        ),
    ),
    shorthand=Text(says="a host or https://host:port/path", pattern=r"[!-~]+", longest=1_400),
)

SECRET = Record(
    what="a secret",
    fields=(
        Field(name="name", doc="Name in the vault.", shape=_SECRET, required=True),
        Field(
            name="host",
            doc="The one exact host the secret may be sent to; a network rule has to allow it.",
            shape=Text(
                says="an exact lower-case host such as api.example.com",
                pattern=grammar.HOST,
                longest=253,
            ),
            required=True,
        ),
        Field(
            name="slot",
            doc="Where in a request the placeholder is swapped: header:authorization when not "
            "given.",
            shape=Text(
                says="a slot such as header:authorization", pattern=grammar.SLOT, longest=128
            ),
        ),
        Field(
            name="env",
            doc="Variable that shows the placeholder; the name in upper case when not given.",
            shape=_ENV,
        ),
        Field(
            name="delivery",
            doc="placeholder (the default); unsafe-env hands the real value to the agent.",
            shape=Choice(values=tuple(Delivery)),
        ),
    ),
    no_shorthand="a secret is bound to one host: {name: GITHUB_TOKEN, host: api.github.com}",
)

WORKSPACE = Record(
    what="workspace",
    fields=(
        Field(
            name="directory",
            doc="Folder the agent works in, relative to the chain file and inside its folder.",
            shape=Text(says="a folder", longest=1_024),
            required=True,
        ),
        Field(
            name="type",
            doc="local (the default) or docker; both are held in a box. ssh is not supported.",
            shape=Choice(values=("local", "docker")),
        ),
        Field(
            name="access",
            doc="none, read, or write (the default: onto a copy).",
            shape=Choice(values=tuple(Access)),
        ),
    ),
    no_shorthand="workspace: {directory: ./work}",
)

RETRY = Record(
    what="retry",
    fields=(
        Field(
            name="max_attempts",
            doc="Attempts in all; 1 when not given.",
            shape=Whole(least=1, most=100),
        ),
        Field(
            name="backoff",
            doc="exponential (the default) or fixed.",
            shape=Choice(values=("exponential", "fixed")),
        ),
        Field(
            name="initial_delay_ms",
            doc="Pause after the first failure in milliseconds.",
            shape=Whole(least=0, most=3_600_000),
        ),
        Field(
            name="max_delay_ms",
            doc="Longest pause in milliseconds.",
            shape=Whole(least=0, most=86_400_000),
        ),
    ),
)

LIMITS = Record(
    what="limits",
    fields=(
        Field(name="memoryMb", doc="Memory in MiB.", shape=Whole(least=16, most=1_048_576)),
        Field(name="processes", doc="Processes and threads.", shape=Whole(least=1, most=32_768)),
        Field(
            name="cpuSeconds", doc="Processor time in seconds.", shape=Whole(least=1, most=604_800)
        ),
        Field(
            name="outputBytes",
            doc="Most bytes of transcript and output.",
            shape=Whole(least=1_024, most=1024**3),
        ),
        Field(
            name="fileBytes",
            doc="Largest file the agent may write.",
            shape=Whole(least=1_024, most=1024**4),
        ),
        Field(name="cost", doc="Money.", refused=_LATER),
        Field(name="tokens", doc="Tokens of a model.", refused=_LATER),
    ),
)

_NOT_ENFORCED = tuple(
    Field(name=name, doc=doc, refused=hint)
    for name, doc, hint in (
        ("tools", "Tools the agent sees.", _LATER),
        ("allowedTools", "Tools that run without a question.", _LATER),
        ("toolsSettings", "Bounds per tool.", _LATER),
        ("hooks", "Commands around tool calls.", _LATER),
        ("steering", "Steering files.", "put the text into the prompt"),
        ("mcpServers", "MCP servers.", _LATER),
        ("reads", "Labels of what the agent reads.", _LATER),
        ("writes", "Labels of what the agent does.", _LATER),
    )
)

AGENT = Record(
    what="an agent",
    fields=(
        Field(
            name="name",
            alias="agent",
            doc="Name of the agent in events and records: lower case with hyphens.",
            shape=_NAME,
            required=True,
        ),
        Field(
            name="type",
            doc="How it is driven. Not given: script when there is run, else cli.",
            shape=Choice(values=tuple(AgentType)),
        ),
        Field(
            name="prompt",
            doc="What the agent is told; {NAME} is replaced by a variable.",
            shape=Text(says="text"),
        ),
        Field(
            name="triggers",
            doc="Events it waits for, all of them; chain:start begins the chain.",
            shape=ListOf(item=_EVENT, least=1, most=64, lone=True),
            required=True,
        ),
        Field(
            name="emits",
            doc="Events it may cause; chain:complete ends the chain. Of a gate and a review the "
            "first says passed, the second failed.",
            shape=ListOf(item=_EVENT, most=64, lone=True),
        ),
        Field(name="client", doc="Agent program, such as claude or codex.", shape=_NAME),
        Field(
            name="run",
            doc="Command as a list of arguments; there is no shell.",
            shape=ListOf(
                item=Text(says="an argument (text)", longest=32_768),
                least=1,
                most=256,
                repeats=True,
                instead_of_text='a command is a list of arguments, there is no shell: ["make", '
                '"test"]',
            ),
        ),
        Field(name="model", doc="Model the client or the LLM API is asked for.", shape=_LINE),
        Field(
            name="input",
            doc="Files it gets from agents before it.",
            shape=ListOf(item=_FILE, most=64, lone=True),
        ),
        Field(name="output", doc="File it hands on.", shape=_FILE),
        Field(name="workspace", doc="Folder it works in; none when not given.", shape=WORKSPACE),
        Field(
            name="merge",
            doc="What happens to changes in the folder: hold for a person (the default), auto, "
            "discard.",
            shape=Choice(values=tuple(Merge)),
        ),
        Field(
            name="network",
            doc="What it may reach; nothing when not given.",
            shape=ListOf(item=NETWORK, most=128, lone=False),
        ),
        Field(
            name="secrets",
            doc="Secrets it may use, each at one host.",
            shape=ListOf(
                item=SECRET,
                most=32,
                instead_of_text="secrets: [{name: GITHUB_TOKEN, host: api.github.com}]",
            ),
        ),
        Field(
            name="env",
            doc="Plain variables; {NAME} in a value is replaced by a variable of the chain.",
            shape=MapOf(key=_ENV, value=Text(says="text", longest=32_768), most=64),
        ),
        Field(
            name="checks",
            doc="Checks its output has to pass, on top of those that always run.",
            shape=ListOf(item=_NAME, most=32),
        ),
        Field(
            name="outputSchema",
            doc="JSON Schema its output has to satisfy.",
            shape=Free(says="a JSON Schema"),
        ),
        Field(name="retry", doc="What is tried again after a failure.", shape=RETRY),
        Field(name="on_error", doc="Event caused when attempts are used up.", shape=_EVENT),
        Field(
            name="timeout",
            doc="Longest time of one attempt: seconds, or text such as 10m.",
            shape=Duration(least=1, most=7 * 86_400),
        ),
        Field(name="limits", doc="Bounds of its box.", shape=LIMITS),
        Field(
            name="isolation",
            doc="Weakest level of box it may run in; L3 when not given.",
            shape=Choice(values=("L1", "L3", "L4", "L5")),
        ),
        Field(
            name="review",
            doc="Of a gate: a person decides on-failure (the default) or always.",
            shape=Choice(values=("on-failure", "always")),
        ),
        *_NOT_ENFORCED,
    ),
    no_shorthand="agents: [{name: collect, prompt: ..., triggers: [chain:start]}]",
)

CHAIN_LIMITS = Record(
    what="limits",
    fields=(
        Field(
            name="time",
            doc="Longest time of a run: seconds, or text such as 2h.",
            shape=Duration(least=1, most=30 * 86_400),
        ),
        Field(
            name="concurrency",
            doc="Most agents that run at once.",
            shape=Whole(least=1, most=64),
        ),
        Field(name="cost", doc="Money.", refused=_LATER),
        Field(name="tokens", doc="Tokens of all models.", refused=_LATER),
    ),
)

CHAIN = Record(
    what="a chain",
    fields=(
        Field(
            name="apiVersion",
            doc="Version of this format.",
            shape=Choice(values=(API_VERSION,)),
        ),
        Field(
            name="name",
            doc="Name of the chain: lower case with hyphens.",
            shape=_NAME,
            required=True,
        ),
        Field(name="description", doc="What the chain is for.", shape=Text(says="text")),
        Field(name="version", doc="Version of the chain itself.", shape=_LINE),
        Field(
            name="agents",
            doc="The agents, in any order.",
            shape=ListOf(item=AGENT, least=1, most=MOST_AGENTS),
            required=True,
        ),
        Field(
            name="variables",
            doc="Values for {NAME}; the command line may override them.",
            shape=MapOf(
                key=Text(says="an upper-case name", pattern=grammar.VARIABLE, longest=64),
                value=Text(says="text", longest=32_768),
                most=128,
            ),
        ),
        Field(name="limits", doc="Bounds of one run.", shape=CHAIN_LIMITS),
        Field(
            name="outputs",
            doc="Files of the agents that are the result of the chain.",
            shape=ListOf(item=_FILE, most=64, lone=True),
        ),
        Field(
            name="schedule",
            doc="When it runs (cron); kept, acted on by a server only.",
            shape=_LINE,
        ),
        Field(
            name="trigger",
            doc="What else starts it; kept, acted on by a server only.",
            shape=Free(says="a trigger"),
        ),
        Field(
            name="rbac",
            doc="Who may do what with it; kept, acted on by a server only.",
            shape=Free(says="role grants"),
        ),
        Field(name="labels", doc="Labels of what comes in.", refused=_LATER),
    ),
)
