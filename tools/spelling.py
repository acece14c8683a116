"""American spelling and plain words: ``python -m tools.spelling`` prints what to write instead.

In Markdown the prose is read, not the code; in Python comments, docstrings and string literals, and in names the
spelling alone. ``tools/deny_list.txt`` holds phrases. Exit code 1 where anything was found.

``python -m tools.spelling --fix-american ROOT ...`` rewrites British spellings in files below the roots: names,
strings, prose and file names. Keys of committed results, and below ``benchmarks`` all their texts, stay as they are.
``--keep-code`` leaves code in Markdown.
"""

import argparse
import functools
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.american import rewritten

ROOT = Path(__file__).parents[1]
DENY_LIST = ROOT / "tools" / "deny_list.txt"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")
SOURCES = ("src",)
RESULTS = ROOT / "benchmarks" / "results"
KINDS = (".md", ".py", ".css", ".toml", ".yml", ".txt")
EXEMPT = frozenset({"american.py", "deny_list.txt", "test_spelling.py", "cli.md"})
"""Files that must hold the words to say what is wrong with them, and a page generated from ``src``."""

FOREIGN = frozenset({"was_cancelled"})
"""Names in files of other programs, here of Label Studio."""

_TEXT_TOKENS = frozenset(
    getattr(tokenize, name) for name in ("COMMENT", "STRING", "FSTRING_MIDDLE") if hasattr(tokenize, name)
)
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`|\]\([^)\n]*\)|<!--.*?-->|https?://\S+", re.DOTALL | re.MULTILINE)
_RESULT_TEXT = re.compile(r"\"([^\"\\\n]*)\"")
_TITLE = re.compile(r"^\*[A-Z][^*]{20,}\*|(?<=[.] )\*[A-Z][^*]{20,}\*", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """A phrase to replace, and where it is."""

    file: Path
    line: int
    phrase: str
    better: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.phrase} -> {self.better}"


def deny_list(path: Path = DENY_LIST) -> dict[str, str]:
    """Phrases and what to write instead.

    Raises:
        ValueError: a line is not of the form ``phrase -> better``, or a phrase is listed twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        phrase, arrow, better = (part.strip() for part in line.partition(" -> "))
        if not (phrase and arrow and better):
            raise ValueError(f"{path}:{number}: expected 'phrase -> better', found '{line}'.")
        if phrase.lower() in found:
            raise ValueError(f"{path}:{number}: '{phrase}' is listed twice.")
        found[phrase.lower()] = better
    return found


def pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """Any of the phrases as whole words, in any case, also where a line breaks inside it."""
    longest_first = sorted(phrases, key=len, reverse=True)
    texts = (r"(?:\s+(?:#\s*)?)".join(map(re.escape, phrase.split())) for phrase in longest_first)
    return re.compile(rf"(?<![\w-])(?<!there )(?:{'|'.join(texts)})(?![\w-])", re.IGNORECASE)


def prose(text: str) -> str:
    """A Markdown page without code, link targets and titles of publications; every line stays in its place."""
    return _TITLE.sub(_blank, _CODE.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "\0", match[0])


def pieces(path: Path, text: str) -> Iterator[tuple[int, str, bool]]:
    """The parts of a file to read: first line, text, and whether it is prose rather than a name."""
    if path.suffix == ".md":
        yield 1, prose(text), True
        return
    comments: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and comments and token.start[0] == comments[-1].start[0] + 1:
            comments.append(token)
            continue
        if token.type in (tokenize.NL, tokenize.NEWLINE) and comments:
            continue
        if comments:
            yield comments[0].start[0], "\n".join(one.string for one in comments), True
            comments = []
        if token.type == tokenize.COMMENT:
            comments = [token]
        elif token.type in _TEXT_TOKENS:
            yield token.start[0], token.string, True
        elif token.type == tokenize.NAME:
            yield token.start[0], token.string, False


def examine(path: Path, deny: dict[str, str], expression: re.Pattern[str] | None = None) -> Iterator[Finding]:
    """What to replace in one file, line by line."""
    expression = expression or pattern(deny)
    kept = result_keys()
    found: set[Finding] = set()
    for first, text, is_prose in pieces(path, path.read_text(encoding="utf-8")):
        for word in re.finditer(r"\w+", text):
            better = rewritten(word[0], kept)
            if better != word[0]:
                found.add(Finding(path, first + text.count("\n", 0, word.start()), word[0], better))
        for match in expression.finditer(text) if is_prose else ():
            phrase = " ".join(match[0].replace("#", " ").lower().split())
            found.add(Finding(path, first + text.count("\n", 0, match.start()), phrase, deny[phrase]))
    yield from sorted(found, key=lambda one: (one.line, one.phrase))


def files(roots: Iterable[Path], kinds: tuple[str, ...] = (".md", ".py")) -> list[Path]:
    """Files of the kinds below the roots, in order.

    Raises:
        FileNotFoundError: a root does not exist.
    """
    found: set[Path] = set()
    for root in roots:
        if not root.exists():
            raise FileNotFoundError(f"{root}: no such file or folder.")
        found |= {root} if root.is_file() else {path for path in root.rglob("*") if path.suffix in kinds}
    return sorted(path for path in found if path.name not in EXEMPT and "__pycache__" not in path.parts)


def check(roots: Iterable[Path], deny: dict[str, str] | None = None) -> list[Finding]:
    """Everything to replace below the roots."""
    deny = deny_list() if deny is None else deny
    expression = pattern(deny)
    return [finding for path in files(roots) for finding in examine(path, deny, expression)]


@functools.cache
def result_texts() -> frozenset[str]:
    """Every key and every string in the committed results."""
    found: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            found.update(value)
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    for path in sorted(RESULTS.glob("*.json")):
        collect(json.loads(path.read_text(encoding="utf-8")))
    return frozenset(found)


@functools.cache
def result_keys() -> frozenset[str]:
    """Names of several parts that stay: `FOREIGN`, and those in the committed results.

    Of the latter also how they begin: ``learnt_`` of ``learnt_accuracy``.
    """
    names = [text for text in result_texts() if re.fullmatch(r"\w+_\w+", text)]
    return FOREIGN | frozenset(name[: match.end()] for name in names for match in re.finditer("_|$", name))


def fix_american(roots: Iterable[Path], keep_code: bool = False) -> list[Path]:
    """Rewrite British spellings below the roots, and in the names of files.

    Returns:
        The files that were changed or renamed.
    """
    kept, changed = result_keys(), []
    for path in files(roots, KINDS):
        text = path.read_text(encoding="utf-8")
        places = _CODE if keep_code and path.suffix == ".md" else _RESULT_TEXT if "benchmarks" in path.parts else None
        better = _rewritten_outside(places, text, kept) if places else rewritten(text, kept)
        target = path.with_name(path.name if keep_code else rewritten(path.name, kept))
        if (better, target) == (text, path):
            continue
        path.write_text(better, encoding="utf-8")
        changed.append(path.rename(target))
    return changed


def _rewritten_outside(places: re.Pattern[str], text: str, kept: frozenset[str]) -> str:
    """A file with everything rewritten but some places; of string literals those alone that results hold stay."""
    parts: list[str] = []
    end = 0
    for match in places.finditer(text):
        if places is _RESULT_TEXT and match[1] not in result_texts():
            continue
        parts += [rewritten(text[end : match.start()], kept), match[0]]
        end = match.end()
    return "".join([*parts, rewritten(text[end:], kept)])


def main(arguments: list[str] | None = None) -> int:
    """Check the pages and the package, or fix the spelling below some roots; 1 where something is to be replaced."""
    parser = argparse.ArgumentParser(description="Check spelling and words against tools/deny_list.txt.")
    parser.add_argument("roots", nargs="*", type=Path, help="files and folders; by default pages and src")
    parser.add_argument("--fix-american", action="store_true", help="rewrite British spellings in the given roots")
    parser.add_argument("--keep-code", action="store_true", help="leave code in Markdown as it is")
    parser.add_argument("--count", action="store_true", help="print how often each phrase was found instead")
    asked = parser.parse_args(arguments)
    if asked.fix_american:
        if not asked.roots:
            parser.error("--fix-american needs the files or folders to rewrite")
        for path in fix_american(asked.roots, asked.keep_code):
            print(path)
        return 0
    roots = asked.roots or [ROOT / name for name in (*PAGES, *SOURCES)]
    findings = check(roots)
    if asked.count:
        counts = Counter((finding.phrase.lower(), finding.better.lower()) for finding in findings)
        lines = [f"{count:5} {phrase} -> {better}" for (phrase, better), count in counts.most_common()]
    else:
        lines = [str(finding) for finding in findings]
    print("\n".join(lines) if lines else "no British spelling, no phrase of the deny-list")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
