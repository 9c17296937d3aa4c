"""Standard streams for a terminal program: a fresh pseudo-terminal.

Invariants:
1. It is not the user's terminal: nothing written to it, no escape sequence and no TIOCSTI
   (CVE-2016-2568) reaches the shell Ringfence was started from.
2. What is typed is the prompt and nothing else: echo, signals, flow control, line editing and
   conversions are off, so no byte of a prompt is a command to the line discipline.

The kernel hands a terminal's reader at most 4,095 bytes of one line (N_TTY) and has no way to type
the end mark itself; a prompt that needs either is refused, not cut. Making the pseudo-terminal the
controlling one of the agent's session is the box's work.
"""

import fcntl
import os
import struct
import termios

from ringfence.agents.streams import Streams
from ringfence.chain.errors import InputError
from ringfence.engine.box import Stdio

ROWS, COLUMNS = 40, 120
LONGEST_LINE = 4_095
END_OF_TRANSMISSION = b"\x04"

_DISABLED = b"\0"


def open_streams(prompt: bytes) -> Streams:
    """Make the terminal.

    Raises InputError for a prompt that cannot be typed and OSError when terminals run out.
    """
    typed = _typed(prompt)
    master, slave = os.openpty()
    try:
        _set_up(slave)
        os.set_blocking(master, False)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return Streams(
        child=Stdio(stdin=slave, stdout=slave, stderr=slave),
        stdin=master,
        stdout=master,
        stderr=master,
        prompt=typed,
        keep_stdin=True,
    )


def _typed(prompt: bytes) -> bytes:
    """Give the prompt as it is typed: whole lines, then the end mark on an empty line."""
    if END_OF_TRANSMISSION in prompt:
        raise InputError(
            "prompt-not-typeable",
            "the prompt holds an end-of-transmission character, which a terminal cannot type",
            hint="take the character (U+0004) out of the prompt",
        )
    if any(len(line) >= LONGEST_LINE for line in prompt.split(b"\n")):
        raise InputError(
            "prompt-not-typeable",
            f"a line of the prompt is longer than a terminal takes ({LONGEST_LINE} bytes)",
            hint="break the line, or let the agent read the file $RINGFENCE_PROMPT",
        )
    ended = prompt if not prompt or prompt.endswith(b"\n") else prompt + b"\n"
    return ended + END_OF_TRANSMISSION


def _set_up(slave: int) -> None:
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = termios.tcgetattr(slave)
    iflag &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
    iflag &= ~(termios.IXON | termios.IXOFF | termios.IXANY)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ISIG | termios.IEXTEN)
    lflag |= termios.ICANON
    for index in range(len(characters)):
        if isinstance(characters[index], bytes) and index not in (termios.VMIN, termios.VTIME):
            characters[index] = _DISABLED
    characters[termios.VEOF] = END_OF_TRANSMISSION
    attributes = [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
