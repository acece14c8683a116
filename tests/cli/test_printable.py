"""Names that steer terminals or run in spreadsheets, streams of any encoding, and readers that go away."""

import csv
import importlib
import io
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pandas as pd
import pytest
from matrix import quick
from PIL import Image

from zerolabel.cli import screen
from zerolabel.data.images import ImageSet
from zerolabel.data.label_tables import read_rows
from zerolabel.errors.printable import cell, json_text, visible
from zerolabel.files.delimited import original, rows, safe, write
from zerolabel.files.skipped import read_skipped, save_skipped
from zerolabel.integrations.files import read_table
from zerolabel.integrations.files import write_table as write_for_others
from zerolabel.runs.inference import write_table

script = importlib.import_module("zerolabel.deployment.predict_onnx")
STEERING = {
    "\x1b[31mred": "\\x1b[31mred",
    "\x9b2J": "\\x9b2J",
    "a\rb": "a\\rb",
    "a\nb": "a\\nb",
    "\x07\x08": "\\x07\\x08",
    "\u202egpj.exe": "\\u202egpj.exe",
    "\u2066x\u2069": "\\u2066x\\u2069",
    "\u200fx": "\\u200fx",
    "\ud800": "\\ud800",
    "\x7f": "\\x7f",
    "größe 写真 🙂 עברית": "größe 写真 🙂 עברית",
}
RUN = (
    *("=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "\nx", "'=x", "''=x", "'x", "=cmd|' /C calc'!A0", "＝x"),
    *("-1", "+1.5", "-1e3", "'-1", "x=1", 'a,"b"', "a;b", "", " =x"),
)


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_is_written_as_an_escape(text):
    assert visible(text) == script.visible(text) == STEERING[text]
    assert json.loads(json_text(json.dumps(text, ensure_ascii=False))) == text
    assert "\x1b" not in cell(text) and "\u202e" not in json_text(json.dumps(text, ensure_ascii=False))


@pytest.mark.parametrize("text", [text for text in STEERING if "\ud800" not in text])
def test_no_console_shows_it_raw(text, capsys):
    raw = [character for character in text if visible(character) != character and character != "\n"]
    screen.say("[red]note:[/]", f"the file {text} is odd")
    screen.wide().print(f"alarm: {text}".replace("[", "("), soft_wrap=True)
    screen.show(None, {"name": text}, as_json=True)
    said = capsys.readouterr()
    assert not [character for character in raw if character in said.out + said.err]


@pytest.mark.parametrize("text", RUN)
def test_no_cell_begins_a_formula_and_all_are_read_back(text, tmp_path):
    written = safe(text)
    assert original(written) == text
    number = text in ("-1", "+1.5", "-1e3")
    assert number or written[:1] not in tuple("=+-@\t\r\n＝")
    assert script.safe(text) == written
    table = pd.DataFrame({"file_name": [f"{text}.png", "b"], "label": [text or "x", "y"], "n": [-1.5, 2]})
    for name in ("a.csv", "a.tsv"):
        write_for_others(tmp_path / name, table)
        assert read_table(tmp_path / name, ("file_name",))["file_name"].tolist() == table["file_name"].tolist()
    write_table(table, tmp_path / "p.csv")
    names = [name for name, _ in read_rows(tmp_path / "p.csv")]
    assert names == table["file_name"].tolist()
    save_skipped(tmp_path, [(f"{text}.png", f"{text} is why")])
    assert read_skipped(tmp_path) == ((f"{text}.png", f"{text} is why"),)
    buffer = io.StringIO()
    write(buffer, [("file_name", "label"), (text, "x")])
    assert rows(buffer.getvalue())[1:] == [[text, "x"]]


ODD = ("\x1b[2Jclear.png", "\u202egnp.png", "=1+1.png", "写真.png", "tab\there.png", "new\nline.png")


@pytest.fixture
def odd(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD:
        (folder / name).write_bytes(b"broken")
    Image.new("L", (9, 9), 90).save(folder / "fine.png")
    return tmp_path


def command(*arguments, cwd, **variables):
    run = [sys.executable, "-m", "zerolabel", *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run(run, capture_output=True, check=False, cwd=cwd, env=environment)


STREAMS = {
    **{name: {"PYTHONIOENCODING": name} for name in ("cp1252", "ascii", "utf-8", "latin-1", "utf-16", "shift_jis")},
    **{name: {"LC_ALL": name} for name in ("C", "POSIX")},
}


@pytest.mark.parametrize("encoding", quick(("cp1252",), STREAMS))
def test_a_command_over_odd_names(encoding, odd):
    given = ["annotate", "odd", "--vlm", "glyphs", "-c", "zero,one", "-o", "out"]
    done = command(*given, cwd=odd, **STREAMS[encoding])
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    for said in (done.stdout, done.stderr):
        assert b"\x1b" not in said and "\u202e" not in said.decode()
    with (odd / "out" / "skipped.csv").open(newline="", encoding="utf-8") as file:
        assert {original(row["file_name"]) for row in csv.DictReader(file)} == set(ODD)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["learners", "--json"], ["--help"]),
        *(pytest.param(said, marks=pytest.mark.slow) for said in (["learners"], ["learners", "coreg"], ["methods"])),
    ],
)
def test_a_reader_that_goes_away_is_no_traceback(arguments, tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-m", "zerolabel", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    run.stdout.close()
    told = run.stderr.read()
    run.stderr.close()
    assert run.wait() in (0, 1) and b"Traceback" not in told and b"Exception ignored" not in told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is one of Linux")
@pytest.mark.parametrize(
    "redirected",
    quick((">&-", "| head -1", ">/dev/full"), (">&-", "2>&-", ">&- 2>&-", "<&-", "| head -1", "| true", ">/dev/full")),
)
def test_streams_that_are_closed_or_full(redirected, tmp_path):
    code = 2 if redirected == ">/dev/full" else 0
    run = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m zerolabel methods {redirected}'],
        capture_output=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == code
    assert b"Traceback" not in run.stderr and b"Exception ignored" not in run.stderr
    assert (b"disk is full" in run.stderr) == (code == 2)


@pytest.mark.parametrize("locale", quick(("C",), ("C", "POSIX", "C.UTF-8")))
def test_a_terminal_of_any_locale(locale, tmp_path):
    main, side = pty.openpty()
    variables = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    given = [sys.executable, "-m", "zerolabel", "predict", "größe 写真\u202e", "."]
    run = subprocess.Popen(given, stdout=side, stderr=side, cwd=tmp_path, env={**os.environ, **variables})
    os.close(side)
    told = b""
    with suppress(OSError):  # the terminal is closed
        while piece := os.read(main, 1000):
            told += piece
    os.close(main)
    assert run.wait() == 2 and b"error:" in told and b"Traceback" not in told
    assert "\u202e" not in told.decode("utf-8", "replace")


def test_the_script_sees_the_files_that_the_command_sees(tmp_path):
    for name in (
        "b.png",
        "a.PNG",
        ".hidden.png",
        "._a.png",
        ".thumbs/a.png",
        "deep/é.jpg",
        "deep/e\u0301a.jpg",
        "n.txt",
    ):
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "x" / "folder.png").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.gif").write_bytes(b"")
    (tmp_path / "x" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    for name in ("drawing.eps", "scan.heic", "flat.tif"):
        (tmp_path / "x" / name).write_bytes(b"")
    found = [path.relative_to(tmp_path / "x").as_posix() for path in script.images(tmp_path / "x")]
    assert found == list(ImageSet.open(tmp_path / "x").file_names)
    assert ".hidden.png" not in found and "link/c.gif" in found and len(found) == 8
