"""Labels that are in files: true ones, for evaluation only, and those humans gave for training."""

import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.data.answers import Use, read_answers, usable
from zerolabel.data.classes import Classes, plain
from zerolabel.data.images import ImageSet
from zerolabel.data.images import sha256 as hash_content
from zerolabel.data.label_tables import read_rows
from zerolabel.errors import InputError, nearest
from zerolabel.errors.printable import cut

NO_LABEL = frozenset(("", "-1", "nan", "null", "none"))
"""Values that mean "unknown" in label files, in any case, unless a class has that name."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_SHOWN = 200
"""Characters of a name that a message shows."""


@dataclass(frozen=True)
class Labels:
    """Labeled files, not yet matched with images.

    Attributes:
        path: where they were read.
        classes: the class names.
        rows: file name and label as written; an empty label means unknown, and so do the other words of `NO_LABEL`.
        ids: class id that each label means.
    """

    path: Path
    classes: Classes
    rows: tuple[tuple[str, str], ...]
    ids: dict[str, int]

    @classmethod
    def read(cls, path: str | os.PathLike[str], classes: Classes, *, use: Use = "measure") -> "Labels":
        """Read labels; what can be checked without the images is checked here.

        A label is a class name or alias, see `zerolabel.data.classes.plain`; else one of `NO_LABEL`; else a class id as
        it is written in plain digits, unless a name or alias is itself a number.

        Args:
            path: a table of file names and labels, see `zerolabel.data.label_tables`; or a folder with one folder of
                images per class.
            classes: names and aliases.
            use: what for; of answers of reviewers, see `zerolabel.data.answers`, only those are read that have this
                use, so that nothing is measured on what was learned from.

        Raises:
            InputError: there is no such file or folder, it lacks a column, or it names unknown classes.
        """
        path = Path(path)
        if path.is_dir():
            rows = [(file.relative_to(path).as_posix(), file.relative_to(path).parts[0]) for file in _images(path)]
        elif path.is_file():
            answers = read_answers(path)
            found = read_rows(path) if answers is None else usable(answers, use, path)
            rows = [(_plain_path(name), label) for name, label in found]
        else:
            raise InputError(
                f"there are no labels {path}; give a CSV or parquet with file_name,label or a folder per class."
            )
        return cls.of(path, classes, rows)

    @classmethod
    def of(cls, path: Path, classes: Classes, rows: Iterable[tuple[str, str]]) -> "Labels":
        """Labels that were read from ``path`` already: file names and what they are labeled, see `read`.

        Raises:
            InputError: they name unknown classes.
        """
        known = _known(classes)
        rows = tuple((name, "" if _says_nothing(label, known) else label) for name, label in rows)
        return cls(path, classes, rows, _label_ids(sorted({label for _, label in rows if label}), classes, path))

    def match(
        self, file_names: Sequence[str], sha256: Sequence[str], skipped: Collection[str] = (), *, subset: bool = False
    ) -> Int[Tensor, " N"]:
        """The class id of each image.

        A labeled file is matched with an image by its name relative to the folder, else by its base name where only
        one image and one row have it, else by its content. Accents may be apart from their letters or not.

        Args:
            file_names: of the N images.
            sha256: of the N images.
            skipped: names of images that were left out, such as unreadable ones; labels may name them.
            subset: whether the images may be some of those that are labeled; a warning then counts the others.

        Returns:
            Class ids, -1 where nothing is known.

        Raises:
            InputError: the labels name unknown files, or two classes for one image.
        """
        folders = self.path.is_dir()
        base = self.path if folders else self.path.parent
        find = _Finder(file_names, sha256, skipped, [name for name, _ in self.rows], base)
        found, unknown = torch.full((len(file_names),), -1), []
        for name, label in self.rows:
            places = find(name, label if folders else "")
            if places is None:
                unknown.append(name)
                continue
            for place in places if label else ():
                if found[place] >= 0 and found[place] != self.ids[label]:
                    both = f"'{self.classes.names[int(found[place])]}' and '{self.classes.names[self.ids[label]]}'"
                    raise InputError(f"{self.path} gives {file_names[place]} two labels, {both}; leave one.")
                found[place] = self.ids[label]
        if unknown:
            first = cut(unknown[0], _SHOWN)
            count = f"{len(unknown)} of {len(self.rows)} files that are not among the images, first {first}"
            if not subset:
                raise InputError(
                    f"{self.path} names {count}; write names relative to the image folder, or remove them."
                )
            warnings.warn(f"{self.path} names {count}; they are left out.", stacklevel=2)
        return found


def places_known(labels: Int[Tensor, " N"], source: object, which: str = "images") -> Int[Tensor, " K"]:
    """Places of the images whose class is known, of N class ids that are -1 elsewhere.

    Args:
        labels: what `Labels.match` returned.
        source: what messages call the file of labels.
        which: what messages call the images.

    Raises:
        InputError: no class is known.
    """
    known = (labels >= 0).nonzero()[:, 0]
    if not len(known):
        raise InputError(f"the labels {source} give the class of none of the {which}; give their labels.")
    return known


class _Finder:
    """From the name of a labeled file to the images it means."""

    def __init__(
        self,
        file_names: Sequence[str],
        sha256: Sequence[str],
        skipped: Collection[str],
        labeled: Sequence[str],
        folder: Path,
    ) -> None:
        self.folder = folder
        self.names = _unique(_plain_path(name) for name in file_names)
        self.composed = _unique(_composed(_plain_path(name)) for name in file_names)
        self.skipped = {_composed(_plain_path(name)) for name in skipped}
        everything = [_base(_composed(_plain_path(name))) for name in file_names]
        images = Counter([*everything, *map(_base, self.skipped)])
        rows = Counter(_base(_composed(name)) for name in labeled)
        self.bases = {base: i for i, base in enumerate(everything) if images[base] == 1 and rows[base] == 1}
        self.skipped_bases = {base for name in self.skipped if images[base := _base(name)] == 1}
        self.by_content: dict[str, list[int]] = {}
        for place, digest in enumerate(sha256):
            if digest:  # an unreadable image has none
                self.by_content.setdefault(digest, []).append(place)

    def __call__(self, name: str, class_folder: str) -> list[int] | None:
        """Places of the images, none where they were left out; None where the name is unknown."""
        within = name.removeprefix(f"{class_folder}/")
        for key in (name, within):
            if key in self.names:
                return [self.names[key]]
        keys = [_composed(name), _composed(within)]
        for key in keys:
            if key in self.composed:
                return [self.composed[key]]
        if any(key in self.skipped for key in keys):
            return []
        base = _base(keys[0])
        if base in self.bases:
            return [self.bases[base]]
        if places := self.by_content.get(_hash(self.folder, name)):
            return places
        return [] if base in self.skipped_bases else None


def _unique(names: Iterable[str]) -> dict[str, int]:
    """The place of each name that is there once."""
    listed = list(names)
    count = Counter(listed)
    return {name: place for place, name in enumerate(listed) if count[name] == 1}


def _hash(folder: Path, name: str) -> str:
    """The content hash of a labeled file; empty where there is none."""
    with suppress(OSError, ValueError):  # a name that is none here: too long, or with a zero byte
        file = folder / name
        return hash_content(file.read_bytes()) if file.is_file() else ""
    return ""


def _images(folder: Path) -> list[Path]:
    """The images in the class folders of a folder."""
    files = [folder / name for name in ImageSet.open(folder).file_names]
    inside = [file for file in files if file.parent != folder]
    if not inside:
        raise InputError(f"the labels {folder} has no folder of images per class; make one for each class.")
    return inside


def _known(classes: Classes) -> dict[str, int]:
    """The class id of each name and alias, and of each id where no name is a number."""
    known = {plain(word): owner for word, owner in zip(classes.words, classes.owners, strict=True)}
    if not any(_NUMBER.fullmatch(word.strip()) for word in classes.words):
        known = {str(i): i for i in range(len(classes))} | known
    return known


def _says_nothing(label: str, known: Collection[str]) -> bool:
    return label.strip().lower() in NO_LABEL and plain(label) not in known


def _label_ids(labels: Sequence[str], classes: Classes, path: Path) -> dict[str, int]:
    """The class id that each label means."""
    known = _known(classes)
    wrong = [label for label in labels if plain(label) not in known]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        shown = cut(wrong[0], _SHOWN)
        raise InputError(f"the labels {path} name the unknown class '{shown}'{more}{nearest(shown, classes.names)}")
    return {label: known[plain(label)] for label in labels}


def _plain_path(name: str) -> str:
    """Normalize a path: forward slashes, no leading ``./``."""
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _base(name: str) -> str:
    return PurePosixPath(name).name
