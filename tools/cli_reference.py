"""The command line reference, written from the commands themselves: ``python -m tools.cli_reference``."""

from pathlib import Path
from typing import Any

import typer

from zerolabel.cli import NAMES, parser

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
HEAD = """# Command line

<!-- Written by python -m tools.cli_reference; do not edit. -->

Every command prints its options with `--help`. Invalid input ends with exit code 2 and one sentence, a failed training
with 1, an interruption with 130."""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(parser(NAMES))
    sections = [_section(name, command) for name, command in group.commands.items()]
    links = ", ".join(f"[`{name}`](#{name})" for name in group.commands)
    return "\n\n".join([HEAD, f"Commands: {links}.", *sections]) + "\n"


def _section(name: str, command: Any) -> str:
    """One command: its purpose, how it is called, its arguments, and its options panel by panel."""
    parameters = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    options = [one for one in parameters if one.param_type_name == "option"]
    usage = " ".join(["zerolabel", name, *map(_placeholder, arguments), *["[OPTIONS]"][: len(options)]])
    parts = [f"## {name}", " ".join(command.help.split()), f"```text\n{usage}\n```"]
    if arguments:
        parts.append(_table("argument", [(f"`{_placeholder(one)}`", one) for one in arguments]))
    for panel in dict.fromkeys(getattr(one, "rich_help_panel", None) for one in options):
        own = [one for one in options if getattr(one, "rich_help_panel", None) == panel]
        parts.append(_table(panel or "option", [(_flags(one), one) for one in own]))
    return "\n\n".join(parts)


def _placeholder(argument: Any) -> str:
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def _flags(option: Any) -> str:
    return ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))


def _table(title: str, rows: list[tuple[str, Any]]) -> str:
    lines = [f"| {title} | meaning | default |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {shown} | {_cell(one.help or '')} | {_default(one)} |" for shown, one in rows)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    given = parameter.default
    shown = isinstance(given, str | int | float) and not isinstance(given, bool)
    return f"`{given}`" if shown else "on" if given is True else ""


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
