"""The papers' data sets as folders of images: from files at hand, or downloaded by torchvision.

Looked for under the root, in this order: what `numpy_files` reads; ``ROOT/KEY/train/CLASS/IMAGE`` and
``ROOT/KEY/test/CLASS/IMAGE``, laid out by hand; torchvision's own layout under ROOT, and then its download into ROOT.
"""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import datasets

from benchmarks.papers import class_names
from benchmarks.papers.numpy_files import find, read
from zerolabel.errors import InputError, nearest
from zerolabel.files import write_text

Sample = tuple[Image.Image, int]
Open = Callable[[str, str, bool], Any]
"""Of the root, "train" or "test", and whether to download: a data set of torchvision."""


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from.

    Attributes:
        title: as it is called.
        home: what to download by hand.
        open: by torchvision; none where torchvision cannot.
        names: of its classes; empty takes torchvision's.
        split: whether torchvision has no split of it, so that a fifth, drawn with seed 0, is held out.
    """

    title: str
    home: str
    open: Open | None
    names: tuple[str, ...] = ()
    split: bool = False


def _halves(kind: Any, **more: Any) -> Open:
    """Data sets with ``train=True``."""
    return lambda root, split, download: kind(root, train=split == "train", download=download, **more)


def _splits(kind: Any, *, train: str = "train", **more: Any) -> Open:
    """Data sets with ``split="train"``, or another word for it."""
    return lambda root, split, download: kind(
        root, split=train if split == "train" else "test", download=download, **more
    )


def _whole(kind: Any) -> Open:
    """Data sets without a split."""
    return lambda root, _, download: kind(root, download=download)


def _imagenet(root: str, split: str, _: bool) -> Any:
    """The training and the validation images, which torchvision unpacks from the archives in the root."""
    return datasets.ImageNet(root, "train" if split == "train" else "val")


DATA_SETS: dict[str, DataSet] = {
    "cifar10": DataSet("CIFAR-10", "cs.toronto.edu/~kriz/cifar.html", _halves(datasets.CIFAR10)),
    "cifar100": DataSet("CIFAR-100", "cs.toronto.edu/~kriz/cifar.html", _halves(datasets.CIFAR100)),
    "svhn": DataSet("SVHN", "ufldl.stanford.edu/housenumbers", _splits(datasets.SVHN), class_names.SVHN),
    "fashion_mnist": DataSet(
        "Fashion-MNIST", "github.com/zalandoresearch/fashion-mnist", _halves(datasets.FashionMNIST)
    ),
    "mnist": DataSet("MNIST", "yann.lecun.com/exdb/mnist", _halves(datasets.MNIST), class_names.DIGITS),
    "eurosat": DataSet("EuroSAT", "github.com/phelber/EuroSAT", _whole(datasets.EuroSAT), split=True),
    "fer2013": DataSet(
        "FER2013",
        "kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
        lambda root, *_: datasets.FER2013(root, split="train"),
        class_names.FER2013,
        split=True,
    ),
    "gtsrb": DataSet("GTSRB", "benchmark.ini.rub.de", _splits(datasets.GTSRB), class_names.GTSRB),
    "flowers102": DataSet(
        "Flowers102", "robots.ox.ac.uk/~vgg/data/flowers/102", _splits(datasets.Flowers102)
    ),
    "dtd": DataSet("DTD", "robots.ox.ac.uk/~vgg/data/dtd", _splits(datasets.DTD)),
    "aircraft": DataSet(
        "FGVC-Aircraft", "robots.ox.ac.uk/~vgg/data/fgvc-aircraft", _splits(datasets.FGVCAircraft, train="trainval")
    ),
    "pets": DataSet(
        "Oxford-IIIT Pets", "robots.ox.ac.uk/~vgg/data/pets", _splits(datasets.OxfordIIITPet, train="trainval")
    ),
    "food101": DataSet("Food101", "data.vision.ee.ethz.ch/cvl/datasets_extra/food-101", _splits(datasets.Food101)),
    "cars": DataSet("Stanford Cars", "ai.stanford.edu/~jkrause/cars/car_dataset.html", _splits(datasets.StanfordCars)),
    "caltech101": DataSet(
        "Caltech101", "data.caltech.edu/records/mzrjq-6wc02", _whole(datasets.Caltech101), split=True
    ),
    "sun397": DataSet("SUN397", "vision.princeton.edu/projects/2010/SUN", _whole(datasets.SUN397), split=True),
    "imagenet": DataSet("ImageNet", "image-net.org", _imagenet),
    "resisc45": DataSet("RESISC45", "huggingface.co/datasets/timm/resisc45", None),
    "cub": DataSet("CUB-200-2011", "vision.caltech.edu/datasets/cub_200_2011", None),
    "ucf101": DataSet("UCF101, middle frames", "crcv.ucf.edu/data/UCF101.php", None),
}  # fmt: skip
"""By key; Flowers102's and DTD's test images are the papers', their unlabeled pool is torchvision's ``train``."""


@dataclass(frozen=True)
class Unpacked:
    """A data set on disk: ``train`` and ``test``, whose file names differ, ``classes.txt`` and ``truth.csv``."""

    folder: Path

    @property
    def classes(self) -> Path:
        """File of class names."""
        return self.folder / "classes.txt"

    @property
    def truth(self) -> Path:
        """CSV of ``file_name,label`` of all images."""
        return self.folder / "truth.csv"

    def split_truth(self, split: str) -> Path:
        """The same of the images of one split."""
        return self.folder / f"{split}.csv"

    def images(self, split: str) -> Path:
        """Folder of the training or of the test images."""
        return self.folder / split

    def labels(self, split: str) -> list[tuple[str, str]]:
        """File name and class of each image of a split."""
        with self.split_truth(split).open(encoding="utf-8", newline="") as file:
            return [(row["file_name"], row["label"]) for row in csv.DictReader(file)]


def unpack(key: str, root: Path, work: Path, limit: int | None = None) -> Unpacked:
    """The data set as a folder under ``work``, written once.

    Args:
        key: of `DATA_SETS`.
        root: where data sets lie, or are downloaded to.
        work: where the folder is written.
        limit: images of each split at most, evenly over the order.

    Raises:
        InputError: there is no such data set, or it can neither be found nor downloaded.
    """
    if key not in DATA_SETS:
        raise InputError(f"there is no data set '{key}'{nearest(key, DATA_SETS)}")
    made = Unpacked(work / (key if limit is None else f"{key}-{limit}"))
    if not made.folder.is_dir():
        names, splits = opened(key, root)
        partial = Unpacked(made.folder.with_name(f"{made.folder.name}.partial"))
        shutil.rmtree(partial.folder, ignore_errors=True)
        write(partial, names, splits, limit)
        partial.folder.rename(made.folder)
    return made


def write(place: Unpacked, names: Iterable[str], splits: dict[str, Any], limit: int | None) -> None:
    """Write the images of both splits as PNG, their classes, and the names."""
    names, every = tuple(names), []
    for split, samples in splits.items():
        place.images(split).mkdir(parents=True)
        step, rows = 1 if limit is None else max(1, len(samples) // limit), []
        for i in list(range(0, len(samples), step))[:limit]:
            image, label = samples[i]
            name = f"{split}-{i:06d}.png"
            image.convert("RGB").save(place.images(split) / name)
            rows.append((name, names[int(label)]))
        write_rows(place.split_truth(split), rows)
        every += rows
    write_text(place.classes, "".join(f"{name}\n" for name in names))
    write_rows(place.truth, every)


def write_rows(file: Path, rows: Iterable[tuple[str, str]]) -> None:
    """A CSV of ``file_name,label``."""
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("file_name", "label"), *rows])


def opened(key: str, root: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Class names, and an indexable of samples for each split.

    Raises:
        InputError: it can neither be found nor downloaded.
    """
    about, folder = DATA_SETS[key], root / key
    file = find(root, key)
    if file is not None:
        names, splits = read(file)
        return about.names or names, splits
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        found = {split: datasets.ImageFolder(str(folder / split)) for split in ("train", "test")}
        return tuple(name.replace("_", " ") for name in found["train"].classes), found
    try:
        pair = tuple(from_torchvision(about, root, split) for split in ("train", "test"))
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{about.title} is not under {root} and could not be downloaded ({reason}); download it from {about.home} "
            f"and put its images into {folder}/train/CLASS and {folder}/test/CLASS, or give --root another folder."
        ) from None
    return about.names or tidy(key, pair[0]), dict(zip(("train", "test"), divided(about, pair), strict=True))


def from_torchvision(about: DataSet, root: Path, split: str) -> Any:
    """The split as torchvision reads it, downloaded where it is not there.

    Raises:
        RuntimeError, OSError: torchvision cannot.
    """
    if about.open is None:
        raise RuntimeError("torchvision has no download of it")
    try:
        return about.open(str(root), split, False)
    except (RuntimeError, OSError):
        root.mkdir(parents=True, exist_ok=True)
        return about.open(str(root), split, True)


def divided(about: DataSet, pair: tuple[Any, ...]) -> Iterator[Any]:
    """Train and test; a fifth is held out, seed 0, where both are the whole."""
    if not about.split:
        yield from pair
        return
    order = torch.randperm(len(pair[0]), generator=torch.Generator().manual_seed(0)).tolist()
    held = len(order) // 5
    for places in (sorted(order[held:]), sorted(order[:held])):
        yield torch.utils.data.Subset(pair[0], places)


def tidy(key: str, samples: Any) -> tuple[str, ...]:
    """Torchvision's class names; as they are where Co-Reg has them so, else with spaces for underscores."""
    names = getattr(samples, "classes", None) or samples.categories
    first = (name if isinstance(name, str) else name[0] for name in names)
    return tuple(first) if key in class_names.AS_THEY_ARE else tuple(name.replace("_", " ") for name in first)
