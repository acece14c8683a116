"""Metrics as pure functions, and the reading of true labels: the one place, with the report, that may see them.

A true label is a class id, or -1 where the truth is unknown; such images are left out of every mean. Where nothing is
left to average, a mean is not a number.
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.errors import InputError, nearest
from zerolabel.images import ImageSet
from zerolabel.images import sha256 as hash_content


def accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"]) -> float:
    """Share of the images with known truth whose predicted class is right; an abstention, -1, is not."""
    known = truth >= 0
    return _mean((predicted == truth)[known])


def per_class_accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> Float[Tensor, " C"]:
    """Accuracy among the images of each true class; not a number where there is none."""
    known = truth >= 0
    right = torch.bincount(truth[known & (predicted == truth)], minlength=n_classes)
    return right.float() / torch.bincount(truth[known], minlength=n_classes)


def mean_per_class_accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> float:
    """Mean accuracy over the classes that occur, each counting the same."""
    return float(per_class_accuracy(predicted, truth, n_classes).nanmean())


def confusion_matrix(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> Int[Tensor, "C C"]:
    """Number of images of each true class, a row, and predicted class, a column; abstentions are in none."""
    known = (truth >= 0) & (predicted >= 0)
    cells = truth[known] * n_classes + predicted[known]
    return torch.bincount(cells, minlength=n_classes**2).view(n_classes, n_classes)


def expected_calibration_error(probabilities: Float[Tensor, "N C"], truth: Int[Tensor, " N"], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, each weighted by its images.

    Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017, equation 3.
    """
    known = truth >= 0
    if not bool(known.any()):
        return float("nan")
    confidence, predicted = probabilities[known].double().max(1)
    place = _bin(confidence, bins)
    gap = (predicted == truth[known]).double() - confidence
    return float(torch.zeros(bins, dtype=torch.double).index_add(0, place, gap).abs().sum() / len(gap))


def candidate_coverage(candidates: Bool[Tensor, "N C"], truth: Int[Tensor, " N"]) -> float:
    """Share of the images with known truth and a candidate set whose set holds the true class."""
    counted = (truth >= 0) & candidates.any(1)
    return _mean(candidates[counted].gather(1, truth[counted, None]))


def mean_candidates(candidates: Bool[Tensor, "N C"]) -> float:
    """Mean size of the candidate sets that are not empty."""
    sizes = candidates.sum(1)
    return _mean(sizes[sizes > 0])


def vote_accuracy(votes: Int[Tensor, "N A"], truth: Int[Tensor, " N"]) -> Float[Tensor, " A"]:
    """Accuracy of each annotator on the images with known truth on which it did not abstain."""
    counted = (votes >= 0) & (truth >= 0)[:, None]
    return ((votes == truth[:, None]) & counted).sum(0).float() / counted.sum(0)


def agreement(first: Int[Tensor, " N"], second: Int[Tensor, " N"]) -> float:
    """Share of images that two predictions give the same class, where neither abstains; needs no truth."""
    both = (first >= 0) & (second >= 0)
    return _mean((first == second)[both])


def class_counts(predicted: Int[Tensor, " N"], n_classes: int) -> Int[Tensor, " C"]:
    """Number of images that are given each class; shows a collapse without truth."""
    return torch.bincount(predicted[predicted >= 0], minlength=n_classes)


def confidence_histogram(probabilities: Float[Tensor, "N C"], bins: int = 20) -> Int[Tensor, " bins"]:
    """Number of images whose largest probability falls into each of equal bins of [0, 1]."""
    return torch.bincount(_bin(probabilities.amax(1), bins), minlength=bins)


def evaluate(
    probabilities: Float[Tensor, "N C"], truth: Int[Tensor, " N"], classes: Sequence[str]
) -> dict[str, object]:
    """All of it at once, as data for JSON: numbers that do not exist are None.

    Args:
        probabilities: of the images.
        truth: true class ids, -1 unknown.
        classes: C names.

    Returns:
        ``n`` images with known truth, ``accuracy``, ``mean_per_class_accuracy``, ``per_class`` by name, ``confusion``
        with a row per true class, ``ece``, and ``classes``.

    Raises:
        InputError: the numbers of images or classes differ.
    """
    if probabilities.shape != (len(truth), len(classes)):
        given = f"{tuple(probabilities.shape)} probabilities, {len(truth)} labels and {len(classes)} classes"
        raise InputError(f"{given} do not belong together; give a row per image and a column per class.")
    unreadable = probabilities.isnan().any(1)
    predicted = probabilities.argmax(1).masked_fill(unreadable, -1)
    per_class = per_class_accuracy(predicted, truth, len(classes)).tolist()
    return {
        "n": int((truth >= 0).sum()),
        "accuracy": _number(accuracy(predicted, truth)),
        "mean_per_class_accuracy": _number(mean_per_class_accuracy(predicted, truth, len(classes))),
        "per_class": {name: _number(share) for name, share in zip(classes, per_class, strict=True)},
        "confusion": confusion_matrix(predicted, truth, len(classes)).tolist(),
        "ece": _number(expected_calibration_error(probabilities[~unreadable], truth[~unreadable])),
        "classes": list(classes),
    }


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _bin(confidence: Float[Tensor, " N"], bins: int) -> Int[Tensor, " N"]:
    """The place of each confidence among equal bins of [0, 1]; a row that is not a number goes to the first."""
    return (confidence.nan_to_num(0.0) * bins).long().clamp(0, bins - 1)


def _number(value: float) -> float | None:
    return None if value != value else value


def load_truth(
    path: str | os.PathLike[str],
    file_names: Sequence[str],
    sha256: Sequence[str],
    classes: Sequence[str],
    aliases: Sequence[Sequence[str]] = (),
    skipped: Collection[str] = (),
) -> Int[Tensor, " N"]:
    """Read true labels, for evaluation alone.

    A labelled file is matched with an image by its name relative to the folder, else by its base name where only one
    image and one row have it, else by its content. A label is a class name or alias, where case, spaces, hyphens and
    underscores make no difference; or a class id, unless a class name is itself a number.

    Args:
        path: a CSV or parquet with the columns ``file_name`` and ``label``, where an empty label means unknown;
            or a folder with one folder of images per class.
        file_names: of the N images.
        sha256: of the N images.
        classes: C names.
        aliases: other names of each class.
        skipped: names of images that were left out, such as unreadable ones; the truth may name them.

    Returns:
        Class ids, -1 where the truth names no label.

    Raises:
        InputError: there is no such truth, it names unknown files or classes, or two labels for one image.
    """
    path = Path(path)
    if path.is_dir():
        rows = [(file.relative_to(path).as_posix(), file.relative_to(path).parts[0]) for file in _images(path)]
    elif path.is_file():
        rows = _read_rows(path)
    else:
        raise InputError(f"there is no truth {path}; give a CSV or parquet with file_name,label or a folder per class.")
    ids = _label_ids(sorted({label for _, label in rows if label}), classes, aliases, path)
    find = _Finder(file_names, sha256, skipped, [name for name, _ in rows], path if path.is_dir() else path.parent)
    truth = torch.full((len(file_names),), -1)
    unknown = []
    for name, label in rows:
        places = find(name, label if path.is_dir() else "")
        if places is None:
            unknown.append(name)
            continue
        for place in places if label else ():
            if truth[place] >= 0 and truth[place] != ids[label]:
                both = f"'{classes[int(truth[place])]}' and '{classes[ids[label]]}'"
                raise InputError(f"the truth {path} gives {file_names[place]} two labels, {both}; leave one.")
            truth[place] = ids[label]
    if unknown:
        count = f"{len(unknown)} of {len(rows)} files that are not among the images, first {unknown[0]}"
        raise InputError(f"the truth {path} names {count}; write names relative to the image folder, or remove them.")
    return truth


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
        raise InputError(f"the truth {folder} has no folder of images per class; make one for each class.")
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
        raise InputError(f"the truth {path} cannot be read ({reason}); give a CSV or parquet.") from None
    table.columns = [str(column).strip() for column in table.columns]
    for column in ("file_name", "label"):
        if column not in table.columns:
            found = ", ".join(table.columns)
            raise InputError(f"the truth {path} has no column {column} but {found}; name its columns file_name,label.")
    return [
        (_plain_path(str(name)), _text(label)) for name, label in zip(table["file_name"], table["label"], strict=True)
    ]


def _text(label: object) -> str:
    if label is None or label is pd.NA or label != label:
        return ""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def _label_ids(
    labels: Sequence[str], classes: Sequence[str], aliases: Sequence[Sequence[str]], path: Path
) -> dict[str, int]:
    """The class id that each label means."""
    known = {_plain(alias): i for i, names in enumerate(aliases) for alias in names}
    known |= {_plain(name): i for i, name in enumerate(classes)}
    if not any(name.strip().isdigit() for name in classes):
        known = {str(i): i for i in range(len(classes))} | known
    wrong = [label for label in labels if _plain(label) not in known]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"the truth {path} names the unknown class '{wrong[0]}'{more}{nearest(wrong[0], classes)}")
    return {label: known[_plain(label)] for label in labels}


def _plain_path(name: str) -> str:
    """With forward slashes, and without a leading ``./``."""
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()


def _plain(name: str) -> str:
    """A class name without the differences that do not make another class."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
