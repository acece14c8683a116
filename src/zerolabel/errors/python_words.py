"""Messages that name options of the command line, in the words of Python: the arguments that mean the same."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from zerolabel.errors import InputError

_OPTION = re.compile(r"`[^`]*`|(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])|(?<![\w-])-o(?![\w-])")
_ARGUMENTS = {"set": "options"}
"""Options whose argument has another name."""
_FLAGS = frozenset(("resume", "overwrite", "open-set", "propagate", "flip", "pretrained"))


def python_words(sentence: str) -> str:
    """A sentence with the arguments of `zerolabel.ZeroLabel` in place of options; commands in backticks stay.

    >>> python_words("give --resume to finish it, or -o another folder; `zerolabel run --help` tells more.")
    'give `resume=True` to finish it, or `output` another folder; `zerolabel run --help` tells more.'
    """
    return _OPTION.sub(_argument, sentence)


def _argument(found: re.Match[str]) -> str:
    if found[0].startswith("`"):
        return found[0]
    name = found["name"] or "output"
    if name.startswith("no-") and name[3:] in _FLAGS:
        return f"`{name[3:].replace('-', '_')}=False`"
    argument = _ARGUMENTS.get(name, name.replace("-", "_"))
    return f"`{argument}=True`" if name in _FLAGS else f"`{argument}`"


@contextmanager
def in_python() -> Iterator[None]:
    """Context manager: errors raised inside name Python arguments instead of options.

    Raises:
        InputError: what was raised, in the words of Python.
    """
    try:
        yield
    except InputError as error:
        raise InputError(python_words(str(error))) from None


__all__ = ["in_python", "python_words"]
