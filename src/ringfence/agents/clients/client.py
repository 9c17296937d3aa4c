"""What Ringfence has to know about a command-line agent to run it without a person.

Invariants:
1. A prompt is one argument that can never be taken for an option: it stands after ``--`` or is
   joined to its option with ``=``.
2. Nothing here switches a client's own guards off. The box and the broker are the boundary; a
   client that refuses a tool because nobody can be asked refuses it.

Installing our hook in a client, and proving that it fires, is not done here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ringfence.chain.errors import InputError

# Linux takes at most 128 KiB in one argument (MAX_ARG_STRLEN), its closing NUL included.
LONGEST_ARGUMENT = 128 * 1024 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. ``key`` is the variable in which it looks for its credential (a placeholder).

    ``env`` are settings for a run without a person.
    """

    name: str
    command: Callable[[str], tuple[str, ...]]
    key: str
    env: Mapping[str, str] = field(default_factory=dict)

    def argv(self, prompt: str) -> tuple[str, ...]:
        """Give the command line that answers the prompt and ends.

        Raises InputError for an empty prompt or one that cannot be an argument.
        """
        if not prompt.strip():
            raise InputError(
                "prompt-empty", f"{self.name} needs a prompt", hint="give the agent a `prompt`"
            )
        argv = self.command(prompt)
        longest = max(len(argument.encode("utf-8", "surrogateescape")) for argument in argv)
        if "\0" in prompt or longest > LONGEST_ARGUMENT:
            raise InputError(
                "prompt-too-long",
                f"the prompt cannot be an argument (at most {LONGEST_ARGUMENT} bytes, no NUL)",
                hint="let the prompt tell the agent to read an `input` file",
            )
        return argv
