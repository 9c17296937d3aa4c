"""Progress lines are one JSON object each, and nobody has to be there to read them."""

import json
import subprocess
import sys
import threading

import pytest

from ringfence.apps.runner.progress import tell


def test_a_line_is_one_line_whatever_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Line feeds, quotes, escapes and lone surrogates are data in it."""
    text = 'a\nb"c\x1b[2J\u2028\udcff'
    tell("line", agent="a", text=text)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.isascii()
    assert json.loads(out) == {"kind": "line", "agent": "a", "text": text}


def test_lines_of_many_threads_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """Agents run side by side; each line stays whole."""
    threads = [
        threading.Thread(target=lambda n=n: [tell("line", text=str(n) * 500) for _ in range(50)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 400
    assert all(len(set(line)) == 1 for line in lines)


def test_a_follower_that_went_away_does_not_end_the_runner() -> None:
    """Guard off: a plain print into the closed pipe raises. Telling goes on to the last line."""
    code = (
        "import os, sys\n"
        "from ringfence.apps.runner.progress import tell\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    print('x' * 100_000, flush=True)\n"
        "except BrokenPipeError:\n"
        "    os.write(2, b'the pipe is broken\\n')\n"
        "for n in range(1000):\n"
        "    tell('line', text='x' * 1000)\n"
        "os.write(2, b'reached the end\\n')\n"
        "os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(b"go\n", timeout=30)
    assert (process.returncode, err) == (0, b"the pipe is broken\nreached the end\n")
