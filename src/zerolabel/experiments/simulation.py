"""Simulated annotators, for research: true labels and a seed in, ordinary annotations out.

This is the one place that makes annotations of true labels. What learns from them reads the annotations alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate.cluster import Share, calls, parse_engine
from zerolabel.annotations import Annotations, Annotator
from zerolabel.annotations.candidates import parse_rule
from zerolabel.data.images import ImageSet
from zerolabel.data.images import sha256 as hash_content
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.data.views.preprocess import statistics
from zerolabel.errors import InputError, nearest
from zerolabel.files import replacing
from zerolabel.learners import LEARNERS
from zerolabel.training import best_device, predict, train
from zerolabel.training.loop import make_fabric
from zerolabel.training.settings import Settings

KINDS = ("uniform", "class", "instance")
MODEL = "simulated"


@dataclass(frozen=True)
class Images:
    """Names, hashes and sizes of images, in one order."""

    file_names: tuple[str, ...]
    sha256: tuple[str, ...]
    sizes: Int[Tensor, "N 2"]

    @classmethod
    def read(cls, images: ImageSet) -> "Images":
        """Hash and measure every image.

        Raises:
            Unreadable: an image is damaged.
        """
        digests = tuple(hash_content(images.read_bytes(i)) for i in range(len(images)))
        sizes = torch.tensor([images.read(i).size for i in range(len(images))]).reshape(-1, 2)
        return cls(images.file_names, digests, sizes)

    def annotated(
        self,
        classes: Sequence[str],
        kind: str,
        votes: Int[Tensor, "N A"],
        scores: Float[Tensor, "N C"],
        candidates: Bool[Tensor, "N C"] | str,
    ) -> Annotations:
        """Annotations of these images; candidates are given, or the rule that makes them of the votes."""
        rule = candidates if isinstance(candidates, str) else f"simulated, {kind}"
        sets = torch.zeros_like(scores, dtype=torch.bool) if isinstance(candidates, str) else candidates
        who = tuple(Annotator(f"{MODEL}:{kind}", "", f"annotator {a}") for a in range(votes.shape[1]))
        unlabeled = torch.full((len(votes),), -1)
        made = Annotations(
            tuple(classes), self.file_names, self.sha256, self.sizes, votes, scores, sets, unlabeled, who, rule
        )
        return made if not isinstance(candidates, str) else made.with_candidates(parse_rule(rule)(made), rule)


def flip_uniformly(
    labels: Int[Tensor, " N"], n_classes: int, q: float, eta: float, generator: torch.Generator
) -> Bool[Tensor, "N C"]:
    """Candidate sets as Wang et al. (AAAI 2025) draw them.

    A set starts as the true label; every other class joins with probability q; then, with probability eta, a class
    drawn evenly from those not in the set takes the true label's place, unless the set holds all classes.

    Raises:
        InputError: q or eta is not a probability.
    """
    for name, value in (("q", q), ("eta", eta)):
        if not 0 <= value <= 1:
            raise InputError(f"--{name} {value} is not a probability; give a number from 0 to 1.")
    true = torch.nn.functional.one_hot(labels, n_classes).bool()
    candidates = true | (torch.rand(true.shape, generator=generator) < q)
    moved = (torch.rand(len(labels), generator=generator) < eta) & ~candidates.all(1)
    outside = torch.rand(true.shape, generator=generator).masked_fill(candidates, -1.0).argmax(1)
    swapped = (candidates & ~true) | torch.nn.functional.one_hot(outside, n_classes).bool()
    return torch.where(moved[:, None], swapped, candidates)


def draw_confusion(n_classes: int, accuracy: float, generator: torch.Generator) -> Float[Tensor, "C C"]:
    """A confusion matrix: the diagonal is the accuracy, the rest of a row is drawn from a Dirichlet(1/2).

    Few classes then take most of a class's mistakes, as with classes that look alike.

    Raises:
        InputError: the accuracy is not a probability.
    """
    if not 0 <= accuracy <= 1:
        raise InputError(f"--accuracy {accuracy} is not a probability; give a number from 0 to 1.")
    normal = torch.randn(n_classes, n_classes, generator=generator) ** 2  # chi-squared: a gamma of shape 1/2
    off = normal.fill_diagonal_(0.0)
    off = off / off.sum(1, keepdim=True).clamp_min(1e-12)
    return accuracy * torch.eye(n_classes) + (1 - accuracy) * off


def read_confusion(path: Path, n_classes: int) -> Float[Tensor, "C C"]:
    """A confusion matrix from a CSV of C rows of C numbers without a head; rows are scaled to sum to 1.

    Raises:
        InputError: there is no such file, or it holds no such matrix.
    """
    try:
        matrix = torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2)).float()
    except (OSError, ValueError) as error:
        raise InputError(f"--confusion {path} cannot be read ({error}); give a CSV of numbers.") from None
    if matrix.shape != (n_classes, n_classes) or bool((matrix < 0).any()) or not bool(matrix.any(1).all()):
        wanted = f"{n_classes} rows of {n_classes} numbers of at least 0, none all zero"
        raise InputError(f"--confusion {path} holds a matrix of {tuple(matrix.shape)}; give {wanted}.")
    return matrix / matrix.sum(1, keepdim=True)


def vote_by_class(
    labels: Int[Tensor, " N"], confusion: Float[Tensor, "C C"], annotators: int, generator: torch.Generator
) -> tuple[Int[Tensor, "N A"], Float[Tensor, "N C"]]:
    """Votes drawn from the row of each true class, and their shares as scores."""
    votes = torch.multinomial(confusion[labels], annotators, replacement=True, generator=generator)
    return votes, torch.nn.functional.one_hot(votes, len(confusion)).float().mean(1)


def long_tailed(labels: Int[Tensor, " N"], n_classes: int, ratio: float) -> Int[Tensor, " M"]:
    """Images of a pool whose class sizes fall geometrically, in their order: class c keeps ``n ratio^(-c / (C-1))``.

    n is the size of the smallest class, so that the first class is `ratio` times the last.

    Raises:
        InputError: the ratio is below 1.
    """
    if ratio < 1:
        raise InputError(f"--ratio {ratio} is below 1; it says how many times the first class is larger than the last.")
    counts = torch.bincount(labels, minlength=n_classes)
    least = int(counts[counts > 0].min())
    kept = []
    for c in range(n_classes):
        most = max(1, round(least * ratio ** (-c / max(n_classes - 1, 1))))
        kept.append((labels == c).nonzero()[:most, 0])
    return torch.cat(kept).sort().values


@dataclass(frozen=True)
class Weak:
    """Training options of the weak networks that vote.

    Attributes:
        annotators: how many.
        labeled: images per class that each of them sees with their labels, others for each.
        epochs: of training.
        student: name of the network.
        engine: where they train, "local" or as `zerolabel.annotate.write` takes it.
        kept: folder in which the answers of each are kept once it is trained; none keeps nothing.
    """

    annotators: int = 5
    labeled: int = 10
    epochs: int = 30
    student: str = "light"
    engine: str = "local"
    kept: Path | None = None


def vote_by_networks(
    pixels: np.ndarray, labels: Int[Tensor, " N"], classes: Sequence[str], weak: Weak, *, seed: int, flip: bool
) -> list[Float[Tensor, "N C"]]:
    """Probabilities of weak networks: their mistakes follow the images.

    Each learns a few labeled images of its own draw, by cross-entropy, with its own seed, and sees the world its own
    way: the networks take turns to read it in color, in gray, and blurred.

    Args:
        pixels: of N images, N x 3 x S x S.
        labels: true class ids of all of them; each network sees a few.
        classes: names.
        weak: how they are trained, and where.
        seed: of everything random.
        flip: whether an image and its mirror image mean the same.
    """
    name, address = parse_engine(weak.engine)
    files = _kept_files(pixels, labels, classes, weak, seed, flip)
    found = {n: load_file(file)["p"] for n, file in enumerate(files) if file is not None and file.is_file()}
    shared = np.asarray(pixels), labels, tuple(classes), weak, seed, flip
    todo = [(n,) for n in range(weak.annotators) if n not in found]
    if name == "ray":
        share = Share.of(best_device().type, 1)
        trained = ((todo[i][0], p) for i, p in calls(vote_by_network, todo, share, address, shared))
    else:
        trained = ((n, vote_by_network(n, *shared)) for (n,) in todo)
    for n, p in trained:
        found[n], file = p, files[n]
        if file is not None:
            with replacing(file) as partial:
                save_file({"p": p}, partial)
    return [found[n] for n in range(weak.annotators)]


def vote_by_network(
    number: int,
    pixels: np.ndarray,
    labels: Int[Tensor, " N"],
    classes: Sequence[str],
    weak: Weak,
    seed: int,
    flip: bool,
) -> Float[Tensor, "N C"]:
    """Probabilities of one weak network; see `vote_by_networks`."""
    generator = torch.Generator().manual_seed(seed * 1_009 + number)
    order = torch.randperm(len(labels), generator=generator)
    chosen = torch.cat([order[labels[order] == c][: weak.labeled] for c in range(len(classes))])
    seen = distort(pixels, number)
    preprocess = Preprocess(pixels.shape[-1], *statistics(seen))
    settings = Settings(epochs=weak.epochs, batch_size=16, lr=0.05, seed=seed * 1_009 + number)
    device = make_fabric(settings).device
    torch.manual_seed(settings.seed)
    network = networks.build(weak.student, len(classes), pixels.shape[-1])
    target = torch.nn.functional.one_hot(labels[chosen], len(classes))
    names = tuple(map(str, chosen.tolist()))
    about = Images(names, names, torch.full((len(chosen), 2), pixels.shape[-1]))
    taught = about.annotated(classes, "few labels", labels[chosen, None], target.float(), target.bool())
    learner = LEARNERS["cross_entropy"](network, taught)
    for _ in train(learner, Pixels(seen[chosen.numpy()], preprocess, flip=flip, device=device), settings):
        pass
    return predict(network, Pixels(seen, preprocess, flip=flip, device=device), make_fabric(settings), 256).cpu()


def _kept_files(
    pixels: np.ndarray, labels: Int[Tensor, " N"], classes: Sequence[str], weak: Weak, seed: int, flip: bool
) -> list[Path | None]:
    """File that keeps the answers of each network, named by all that they depend on."""
    if weak.kept is None:
        return [None] * weak.annotators
    made_of = hashlib.sha256(np.ascontiguousarray(pixels).data)
    made_of.update(
        repr((labels.tolist(), tuple(classes), weak.labeled, weak.epochs, weak.student, seed, flip)).encode()
    )
    return [weak.kept / f"{made_of.hexdigest()[:16]}-{n}.safetensors" for n in range(weak.annotators)]


def distort(pixels: np.ndarray, number: int) -> np.ndarray:
    """Input of annotator ``number``: the images as they are, in gray, or blurred by a mean over 3 x 3 pixels."""
    if number % 3 == 0:
        return np.asarray(pixels)
    rows = torch.from_numpy(np.array(pixels)).float()
    if number % 3 == 1:
        seen = rows.mean(1, keepdim=True).expand_as(rows)
    else:
        seen = torch.nn.functional.avg_pool2d(rows, 3, stride=1, padding=1, count_include_pad=False)
    array: np.ndarray = seen.round().byte().numpy()
    return array


def check_kind(kind: str) -> None:
    """Check that a kind of annotators exists.

    Raises:
        InputError: there is none.
    """
    if kind not in KINDS:
        raise InputError(f"--kind {kind}: there are no such annotators{nearest(kind, KINDS)}")


def simulate(
    images: ImageSet,
    labels: Int[Tensor, " N"],
    classes: Sequence[str],
    kind: str,
    *,
    seed: int = 0,
    q: float = 0.1,
    eta: float = 0.0,
    accuracy: float = 0.65,
    weak: Weak | None = None,
    confusion: Float[Tensor, "C C"] | None = None,
    pixels: np.ndarray | None = None,
    flip: bool = True,
) -> Annotations:
    """Annotations of images whose true labels are known.

    Args:
        images: N readable images.
        labels: true class ids.
        classes: names.
        kind: "uniform" candidate sets (q, eta), whose one vote is a candidate drawn evenly and whose scores are even
            over the set; votes from a confusion matrix ("class"); or those of weak networks ("instance").
        seed: of everything random.
        q: probability that a wrong class joins a set.
        eta: probability that the true class leaves it.
        accuracy: diagonal of the matrix that is drawn where none is given.
        weak: how many annotators there are and how networks among them are trained.
        confusion: rows are true classes; a row sums to 1.
        pixels: of the images, for networks.
        flip: whether mirror images mean the same, for networks.

    Raises:
        InputError: a number is out of its range, or there is no such kind.
    """
    check_kind(kind)
    generator, about, weak = torch.Generator().manual_seed(seed), Images.read(images), weak or Weak()
    if kind == "uniform":
        candidates = flip_uniformly(labels, len(classes), q, eta, generator)
        votes = torch.multinomial(candidates.float(), 1, generator=generator)
        scores = candidates.float() / candidates.sum(1, keepdim=True)
        return about.annotated(classes, kind, votes, scores, candidates)
    if kind == "class":
        matrix = draw_confusion(len(classes), accuracy, generator) if confusion is None else confusion
        votes, scores = vote_by_class(labels, matrix, weak.annotators, generator)
        return about.annotated(classes, kind, votes, scores, "union")
    if pixels is None:
        raise InputError("annotators that are networks need the pixels of the images.")
    said = torch.stack(vote_by_networks(pixels, labels, classes, weak, seed=seed, flip=flip))
    return about.annotated(classes, kind, said.argmax(2).T.contiguous(), said.mean(0), "union")


__all__ = ["KINDS", "Weak", "long_tailed", "simulate"]
