"""Labels that lie in files: true ones, for evaluation alone, and those a person gave for training."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.data.classes import Classes, plain
from zerolabel.data.images import ImageSet
from zerolabel.data.images import sha256 as hash_content
from zerolabel.errors import InputError, nearest


@dataclass(frozen=True)
class Labels:
    """Labelled files, not yet matched with images.

    Attributes:
        path: where they were read.
        classes: the class names.
        rows: file name and label as written; an empty label means unknown.
        ids: class id that each label means.
    """

    path: Path
    classes: Classes
    rows: tuple[tuple[str, str], ...]
    ids: dict[str, int]

    @classmethod
    def read(cls, path: str | os.PathLike[str], classes: Classes) -> "Labels":
        """Read labels; what can be checked without the images is checked here.

        A label is a class name or alias, where case, spaces, hyphens and underscores make no difference in names of
        more than one character; or a class id, unless a class name is itself a number.

        Args:
            path: a CSV or parquet with the columns ``file_name`` and ``label``, where an empty label means unknown;
                or a folder with one folder of images per class.
            classes: names and aliases.

        Raises:
            InputError: there is no such file or folder, it lacks a column, or it names unknown classes.
        """
        path = Path(path)
        if path.is_dir():
            rows = [(file.relative_to(path).as_posix(), file.relative_to(path).parts[0]) for file in _images(path)]
        elif path.is_file():
            rows = _read_rows(path)
        else:
            raise InputError(
                f"there are no labels {path}; give a CSV or parquet with file_name,label or a folder per class."
            )
        return cls.of(path, classes, rows)

    @classmethod
    def of(cls, path: Path, classes: Classes, rows: Iterable[tuple[str, str]]) -> "Labels":
        """Labels that were read from ``path`` already: file names and what they are labelled, see `read`.

        Raises:
            InputError: they name unknown classes.
        """
        rows = tuple(rows)
        return cls(path, classes, rows, _label_ids(sorted({label for _, label in rows if label}), classes, path))

    def match(
        self, file_names: Sequence[str], sha256: Sequence[str], skipped: Collection[str] = ()
    ) -> Int[Tensor, " N"]:
        """The class id of each image.

        A labelled file is matched with an image by its name relative to the folder, else by its base name where only
        one image and one row have it, else by its content.

        Args:
            file_names: of the N images.
            sha256: of the N images.
            skipped: names of images that were left out, such as unreadable ones; labels may name them.

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
            count = f"{len(unknown)} of {len(self.rows)} files that are not among the images, first {unknown[0]}"
            raise InputError(f"{self.path} names {count}; write names relative to the image folder, or remove them.")
        return found


class _Finder:
    """From the name of a labelled file to the images it means."""

    def __init__(
        self,
        file_names: Sequence[str],
        sha256: Sequence[str],
        skipped: Collection[str],
        labelled: Sequence[str],
        folder: Path,
    ) -> None:
        self.folder, self.skipped = folder, {_plain_path(name) for name in skipped}
        self.by_name = {_plain_path(name): place for place, name in enumerate(file_names)}
        everything = [PurePosixPath(name).name for name in (*self.by_name, *self.skipped)]
        images, rows = Counter(everything), Counter(PurePosixPath(name).name for name in labelled)
        self.by_base = {
            base: place
            for name, place in self.by_name.items()
            if images[base := PurePosixPath(name).name] == 1 and rows[base] == 1
        }
        self.skipped_bases = {base for name in self.skipped if images[base := PurePosixPath(name).name] == 1}
        self.by_content: dict[str, list[int]] = {}
        for place, digest in enumerate(sha256):
            self.by_content.setdefault(digest, []).append(place)

    def __call__(self, name: str, class_folder: str) -> list[int] | None:
        """Places of the images, none where they were left out; None where the name is unknown."""
        within = name.removeprefix(f"{class_folder}/")
        for key in (name, within):
            if key in self.by_name:
                return [self.by_name[key]]
        if name in self.skipped or within in self.skipped:
            return []
        base = PurePosixPath(name).name
        if base in self.by_base:
            return [self.by_base[base]]
        file = self.folder / name
        if file.is_file() and (places := self.by_content.get(hash_content(file.read_bytes()))):
            return places
        return [] if base in self.skipped_bases else None


def _images(folder: Path) -> list[Path]:
    """The images in the class folders of a folder."""
    files = [folder / name for name in ImageSet.open(folder).file_names]
    inside = [file for file in files if file.parent != folder]
    if not inside:
        raise InputError(f"the labels {folder} has no folder of images per class; make one for each class.")
    return inside


def _read_rows(path: Path) -> list[tuple[str, str]]:
    """File name and label of each row, as text."""
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"the labels {path} cannot be read ({reason}); give a CSV or parquet.") from None
    table.columns = [str(column).strip() for column in table.columns]
    for column in ("file_name", "label"):
        if column not in table.columns:
            found = ", ".join(table.columns)
            raise InputError(f"the labels {path} has no column {column} but {found}; name its columns file_name,label.")
    return [
        (_plain_path(str(name)), _text(label)) for name, label in zip(table["file_name"], table["label"], strict=True)
    ]


def _text(label: object) -> str:
    if label is None or label is pd.NA or label != label:
        return ""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def _label_ids(labels: Sequence[str], classes: Classes, path: Path) -> dict[str, int]:
    """The class id that each label means."""
    known = {plain(word): owner for word, owner in zip(classes.words, classes.owners, strict=True)}
    if not any(name.strip().isdigit() for name in classes.names):
        known = {str(i): i for i in range(len(classes))} | known
    wrong = [label for label in labels if plain(label) not in known]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(
            f"the labels {path} name the unknown class '{wrong[0]}'{more}{nearest(wrong[0], classes.names)}"
        )
    return {label: known[plain(label)] for label in labels}


def _plain_path(name: str) -> str:
    """With forward slashes, and without a leading ``./``."""
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()
