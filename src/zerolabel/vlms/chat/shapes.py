"""The shapes in which servers wrap an answer: thoughts before it, fences, tags, quotes, bullets, JSON with prose.

Only what is wrapped is looked for, never a name inside of a sentence; where two wrapped answers say different things,
both are handed on, and the answer is ambiguous.
"""

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Known = Callable[[str], bool]

_THINK = r"(?:think|thinking|thought|thoughts|reason|reasoning|analysis|scratchpad|reflection)"
_CLOSED = re.compile(rf"(?:</\s*{_THINK}\s*>|\[/\s*{_THINK}\s*\]|◁/think▷|<\|?/?end_of_{_THINK}\|?>)", re.IGNORECASE)
_OPENED = re.compile(rf"(?:<\s*{_THINK}\s*>|\[\s*{_THINK}\s*\]|◁think▷)", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
_END = re.compile(
    r"<[|｜](?:im_end|eot_id|eom_id|eot|end|endoftext|end_of_text|return|end▁of▁sentence)[|｜]>|</s>|<eos>|\[EOS\]"
    r"|<end_of_(?:turn|utterance|text)>",
    re.IGNORECASE,
)
_SPECIAL = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|<s>|<(?:start|end)_of_\w+>|<(?:bos|pad|unk|image)>|<0x0A>|\[/?INST\]|<</?SYS>>"
    r"|[\u200b\u200e\u200f\u2060\ufeff]",
    re.IGNORECASE,
)
_TAG = r"(answer|final_answer|final|output|result|response|class|classes|label|json)"
_TAGGED = re.compile(rf"<\s*{_TAG}\s*>((?:(?!<\s*\1\s*>).)*?)(?:<\s*/\s*\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text(?:bf|it|rm)?\s*\{([^{}]*)\}|([^{}]*))\s*\}")
_FENCE = re.compile(r"(```+|~~~+)(?:[ \t]*[\w+-]*[ \t]*\r?\n|[ \t]*json\b)?(.*?)(?:\1|\Z)", re.DOTALL | re.IGNORECASE)
_ROLE = re.compile(r"^\s*(assistant|model|ai|bot)\s*(?::|\n)\s*", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:(?:so|thus|therefore|hence)\s*,?\s+)?(?:(?:here\s+(?:is|are)\s+)?(?:(?:the|my)\s+)?"
    r"(?:(?:final|correct|best|predicted|most likely)\s+)*(?:answers?|class(?:es)?|labels?|categor(?:y|ies)|"
    r"predictions?|response|output|result|json)(?:\s+(?:is|are))?)\s*(?::|：|=|(?<=is)\s|(?<=are)\s)\s*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^(?:[-*+•‣◦▪·–—]\s+|\(?\d{1,2}[.)]\s+|\(?[a-zA-Z]\)\s+|>\s+|#{1,6}\s+)")
_QUOTES = {
    **dict.fromkeys("“”„‟«»＂〝〞「」『』", '"'),
    **dict.fromkeys("‘’‚‛‹›＇`´", "'"),
    **dict(zip("｛｝［］：，（）", "{}[]:,()", strict=True)),
}
_PLAIN = str.maketrans(_QUOTES)
_SEPARATOR = re.compile(r"[,;，、；]")
_PAIRS = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "”": "”", "«": "»", "‘": "’", "‹": "›", "「": "」",
          "『": "』", "＂": "＂", "＇": "＇", "*": "*", "_": "_", "(": ")", "（": "）", "<": ">", "[": "]"}  # fmt: skip
_LONGEST_NAME = 8  # words
_LONGEST_LITERAL = 10_000  # characters
_KEPT = set("#%&@")


@dataclass(frozen=True)
class Said:
    """One reading of an answer.

    Attributes:
        words: as they were named.
        is_json: whether they stood in JSON, where an unknown name beside a known one does no harm.
    """

    words: tuple[str, ...]
    is_json: bool = False


def said(text: str, known: Known) -> list[Said] | None:
    """The words that an answer names: one reading, or several that contradict each other.

    Args:
        text: as the server sent it.
        known: whether a word is a class, an alias or "none".

    Returns:
        None where it is something else than an answer; an empty list where there is no text.
    """
    if text.strip() and known(text):
        return [Said((text.strip(),))] if text.strip()[0] not in "{[" else said_of(text, known)
    bare = without_thoughts(text, known)
    if bare is None:
        return None
    return said_of(bare, known) if bare else []


def said_of(text: str, known: Known, deep: int = 3) -> list[Said] | None:
    """Parse a text without thoughts and special tokens; the innermost wrapping counts."""
    for inside in (_tagged(text), _boxed(text), _fenced(text)) if deep else ():
        if inside:
            found = [said_of(one, known, deep - 1) for one in inside]
            readings = [reading for one in found for reading in one or ()]
            return readings if readings and None not in found else None
    return plain_said(text, known)


def plain_said(text: str, known: Known) -> list[Said] | None:
    """Parse a text that is not wrapped: JSON, with or without prose around it, or only class names."""
    text = text.strip()
    if not text:
        return []
    if text[0] not in "{[" and known(text):
        return [Said((text,))]
    for candidate in dict.fromkeys((text, led(text))):
        whole, data = _loaded(candidate)
        if whole:
            words = _words(data, known)
            return None if words is None else [Said(tuple(words), True)]
    inside = [*_list_at_first(led(text), known), *_objects(text, known)]
    if inside:
        return (
            None if None in inside else [*(Said(tuple(words or ()), True) for words in inside), *_beside(text, known)]
        )
    if text[0] in "{[":  # damaged, or the name of a class
        return [Said((text,))] if text[-1] in "]}" and known(text) else None
    return _names(led(text), known)


def without_thoughts(text: str, known: Known) -> str | None:
    """A text without what was thought aloud, special tokens and the name of a role; None where it is nothing else."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        if last[1].lower() not in ("final", "answer", "response"):
            return None
        text = text[last.end() :]
    ends = list(_CLOSED.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    if _OPENED.search(text):
        return None  # it was still thinking
    turns = (_SPECIAL.sub(" ", turn).strip() for turn in _END.split(text))
    text = next((turn for turn in turns if turn), "")  # what follows the end of its turn, the model made up
    role = _ROLE.match(text)
    return text[role.end() :].strip() if role and not known(role[1]) else text


def led(text: str) -> str:
    """A text without a lead such as "Answer:" or "The answer is", marks of emphasis around the lead included."""
    text = text.strip()
    bare = re.sub(r"^(\*\*|__)([^*_\n]{1,40}?)(\s*[:：]?\s*)\1(\s*[:：]?)", r"\2\3\4", text)
    lead = _LEAD.match(bare)
    return bare[lead.end() :].strip() if lead and bare[lead.end() :].strip() else text


def _tagged(text: str) -> list[str]:
    return list(dict.fromkeys(found[2].strip() for found in _TAGGED.finditer(text)))


def _boxed(text: str) -> list[str]:
    return list(dict.fromkeys((found[1] or found[2] or "").strip() for found in _BOXED.finditer(text)))


def _fenced(text: str) -> list[str]:
    return list(dict.fromkeys(found[2].strip() for found in _FENCE.finditer(text)))


def _names(text: str, known: Known) -> list[Said] | None:
    """Nothing but names: a line or a bullet each, or commas between.

    One line such as "1. cat" may mean a class 1 as well: then there are two readings.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words: list[str] = []
    for line in lines:
        bullet = _BULLET.match(line)
        bare = line[bullet.end() :].strip() if bullet else line
        number = bullet[0].strip(" \t().") if bullet else ""
        if len(lines) == 1 and number and known(number):
            return [Said((bare,)), Said((number,))]
        bare = led(bare) if len(lines) == 1 else bare
        if known(bare) or known(unquoted(bare)):
            words.append(bare if known(bare) else unquoted(bare))
            continue
        parts = [unquoted(part) for part in _SEPARATOR.split(bare) if unquoted(part)]
        if not parts or any(len(part.split()) > _LONGEST_NAME for part in parts):
            return None
        words += parts
    if len(lines) > 1 and not all(known(word) for word in words):
        return None
    return [Said(tuple(words))] if words else []


def unquoted(text: str) -> str:
    """A text without the quotes, brackets and marks of emphasis around it, and the full stop behind it."""
    text = text.strip()
    while True:
        bare = text.rstrip(".。!！").strip()
        for mark in ("***", "**", "__", "``"):
            if len(bare) > 2 * len(mark) and bare.startswith(mark) and bare.endswith(mark):
                bare = bare[len(mark) : -len(mark)].strip()
        if len(bare) > 1 and _PAIRS.get(bare[0]) == bare[-1]:
            bare = bare[1:-1].strip()
        if bare == text or not bare:
            return bare or text
        text = bare


def _loaded(text: str) -> tuple[bool, Any]:
    """Parse a text that is data as a whole: JSON or a Python literal, in quotes of any script."""
    if not text or text[0] not in "{[\"“'‘｛［tfn-0123456789":
        return False, None
    for way in (text, text.translate(_PLAIN)):
        try:
            return True, _decoder.decode(way)
        except _TwiceError:
            return True, _NOTHING
        except (ValueError, RecursionError):
            pass
        if way[0] in "{[" and len(way) < _LONGEST_LITERAL:
            try:
                return True, _python(way)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                pass
    return False, None


def _python(text: str) -> object:
    """A dictionary or list as Python writes it.

    Raises:
        ValueError: it is none, or holds a key twice; others of `ast.literal_eval`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as an escape that Python does not know
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            keys = [ast.dump(key) for key in node.keys if key] if isinstance(node, ast.Dict) else []
            if len(set(keys)) < len(keys):
                raise ValueError("a key is there twice")
        return ast.literal_eval(tree)


def _list_at_first(text: str, known: Known) -> Iterator[list[str] | None]:
    """The words of a list with which a text begins, before prose."""
    end = text.find("]")
    if text[0] == "[" and end > 0:
        whole, data = _loaded(text[: end + 1])
        if whole:
            yield _words(data, known)


def _beside(text: str, known: Known) -> Iterator[Said]:
    """Text around an object, if it contains only class names: a separate answer."""
    for part in (text[: text.find("{")], text[text.rfind("}") + 1 :]) if "{" in text else ():
        for one in _names(led(part), known) or ():
            if all(known(word) for word in one.words):
                yield one


def _objects(text: str, known: Known) -> Iterator[list[str] | None]:
    """The words of every object with classes that stands in prose, inside of no other; None for a damaged one."""
    text, end = text if "{" in text else text.translate(_PLAIN), 0
    while (place := text.find("{", end)) >= 0:
        if text[end:place].count("[") > text[end:place].count("]"):
            return  # inside of a list
        data, end = _object_at(text, place)
        if end < 0:
            end = text.find("}", place) + 1
            damaged = re.match(r"\{\s*[\"'“‘]?class", text[place:], re.IGNORECASE)
            if damaged or end == 0 or "{" in text[place + 1 : end]:
                yield from [None] if damaged else []
                return
        elif isinstance(data, dict) and _has_classes(data):
            yield _words(data, known)


def _object_at(text: str, place: int) -> tuple[Any, int]:
    """The object that begins at a place, and where it ends; -1 where it is none."""
    try:
        return _decoder.raw_decode(text, place)
    except (ValueError, RecursionError):
        pass
    end = text.find("}", place)
    if 0 <= end - place < _LONGEST_LITERAL:
        whole, data = _loaded(text[place : end + 1])
        if whole:
            return data, end + 1
    return None, -1


_NOTHING = object()
"""Stands for data that means nothing; null may be the name of a class."""


class _TwiceError(ValueError):
    """An object holds a key twice, with different values."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object.

    Raises:
        _TwiceError: a key is there twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise _TwiceError(f"two values of {key}")
    return found


class _Literal(str):
    """JSON literals without quotes, such as true, null and 1; they may be class names."""


_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal, strict=False
)


def _has_classes(data: dict[Any, Any]) -> bool:
    return any(str(key).strip().casefold() in ("classes", "class") for key in data)


def _words(data: object, known: Known) -> list[str] | None:
    """The words in data: of a list, of a text, or of the entry "classes" or "class"; None where it has another form."""
    if isinstance(data, dict):
        values = [value for key, value in data.items() if str(key).strip().casefold() in ("classes", "class")]
        if not values or any(value != values[0] for value in values):
            return None
        data = values[0]
    if isinstance(data, str) and not isinstance(data, _Literal) and data.strip()[:1] in ("{", "["):
        whole, inner = _loaded(data.strip())
        if whole and not isinstance(inner, str):
            return _words(inner, known)
    if isinstance(data, str | int | float) or data is None:
        data = [data]
    if not isinstance(data, list | tuple):
        return None
    words = [_word(one, known) for one in data]
    return None if any(word is None for word in words) else [str(word) for word in words]


def _word(value: object, known: Known) -> str | None:
    """A name; true, false and null where there is a class of that name."""
    if value is None or isinstance(value, bool):
        return json.dumps(value) if known(json.dumps(value)) else None
    return str(value) if isinstance(value, str | int | float) else None


def normalize(text: str) -> str:
    """Case, width, underscores, hyphens, punctuation and further spaces do not make another name.

    What tells names apart stays: letters with their marks, digits, the point and the sign of a number, and the signs
    of C++, C#, 5% and their like.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<![\w.])[-−](?=[.\d])", "\x00", text)  # the sign of a number
    text = re.sub(r"\.(?=\d)", "\x01", text)
    kept = "".join(c if _tells(c) else " " for c in text).replace("\x00", "-").replace("\x01", ".")
    return " ".join(kept.split()) or text.strip()


def _tells(char: str) -> bool:
    return char in "\x00\x01" or char in _KEPT or unicodedata.category(char)[:2] in _TELLING


_TELLING = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Sm", "Sc"}

__all__ = ["Said", "normalize", "said", "unquoted"]
