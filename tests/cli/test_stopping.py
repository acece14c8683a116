"""Signals: a command that is stopped says how it continues, and its exit code tells why it ended."""

import errno
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zerolabel.cli import COMMANDS, sentence
from zerolabel.cli.stopping import how_to_continue
from zerolabel.errors import InputError
from zerolabel.files.writing import writing

WAITS = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` leaves it ignored
from zerolabel import cli
def command(*_, **__):
    print("begun", flush=True)
    time.sleep(60)
cli.parser = lambda _: lambda **_: command()
cli.main(["run", "--overwrite"])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_each_signal_has_its_code_and_one_sentence(number, code):
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert told == "error: stopped; the same command with --resume in place of --overwrite continues.\n"


def test_interrupted_at_a_terminal():
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=side, stdout=side, stderr=side, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(side)
    said = b""
    while b"begun" not in said:
        said += os.read(main, 1000)
    os.write(main, b"\x03")
    try:
        while True:
            said += os.read(main, 1000)
    except OSError:  # the terminal is closed
        pass
    assert process.wait(60) == 130
    assert b"the same command with --resume in place of --overwrite continues" in said
    os.close(main)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["run", "pics"], "the same command with --resume continues"),
        (["annotate", "pics", "--overwrite"], "--resume in place of --overwrite"),
        (["train", "pics", "--resume"], "the same command continues"),
        (["compare", "pics"], "the same command continues"),
        (["improve", "out", "-o", "better"], "the same command continues"),
        (["simulate", "pics"], "the same command continues"),
        (["adapt", "pics", "--json"], "the same command with --resume continues"),
        (["predict", "out", "pics"], "starts again"),
        ([], "starts again"),
    ],
)
def test_how_it_goes_on(given, told):
    assert told in how_to_continue(given, COMMANDS)


@pytest.mark.parametrize(
    "given", [["run", "--resume"], ["run"], ["train", "--overwrite"], ["predict"], ["improve"], ["merge"], ["embed"]]
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_tells_how_this_command_goes_on(number, given):
    again, told = how_to_continue(given, COMMANDS), []
    told.append(sentence(OSError(number, os.strerror(number)), again))
    with pytest.raises(InputError) as caught, writing(Path("out")):
        raise OSError(number, os.strerror(number))
    told.append(sentence(caught.value, again))
    for one in told:
        assert one is not None and "disk is full" in one and "\n" not in one and one.endswith(f"; {again}.")
