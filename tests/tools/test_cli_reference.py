"""The command line reference is that of the code."""

from tools import cli_reference
from zerolabel.cli import COMMANDS


def test_the_committed_page_is_the_one_of_the_code() -> None:
    assert cli_reference.PAGE.read_text(encoding="utf-8") == cli_reference.page(), "run python -m tools.cli_reference"


def test_every_command_and_its_options_are_there() -> None:
    page = cli_reference.page()
    for command in COMMANDS:
        assert f"\n## {command.__name__.replace('_', '-')}\n" in page
    assert "`--classes`, `-c`" in page and "`--flip`, `--no-flip`" in page and "| `coreg` |" in page
    assert page.count("required") > len(COMMANDS) / 2
