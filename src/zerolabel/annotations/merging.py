"""Several sets of annotations as one: what different models, runs or people said of the same images, side by side."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import candidates
from zerolabel.annotations.annotations import Annotations, Annotator
from zerolabel.errors import InputError

Names = tuple[str, str]


def merge(
    a: Annotations, b: Annotations, rule: str | None = None, names: Names = ("the first", "the second")
) -> Annotations:
    """All that two sets of annotations say, as if all annotators had worked in one run.

    Images are the same where their content is: those of ``a`` come first, then the new ones of ``b``, each in its
    order and by the name it first had. An annotator of both keeps one column. The scores are the mean over the
    annotators that voted on an image; candidates are formed again; human labels are kept.

    Args:
        a: of N images.
        b: of M images; the same classes, in any order.
        rule: how candidates are formed; by default as in ``a``, and by union where that is no rule.
        names: what messages call the two.

    Raises:
        InputError: the classes differ; two people, or one annotator in both, contradict each other about an image; a
            file name means two images; or both have the same annotator of an image and another that the other lacks,
            so that the mean over all cannot be told from the two means.
    """
    b = with_classes(b, a.classes, names)
    place_a, place_b = _places(a, b, names)
    annotators = tuple(dict.fromkeys((*a.annotators, *b.annotators)))
    left, right = _Side.of(a, place_a, annotators), _Side.of(b, place_b, annotators)
    seen = place_a >= 0
    pairs = list(zip(place_a.tolist(), place_b.tolist(), strict=True))
    files = [a.file_names[i] if i >= 0 else b.file_names[j] for i, j in pairs]
    rule = candidates.rule_or_union(a.rule) if rule is None else rule
    merged = Annotations(
        classes=a.classes,
        file_names=tuple(files),
        sha256=tuple(a.sha256[i] if i >= 0 else b.sha256[j] for i, j in pairs),
        sizes=left.sizes.where(seen[:, None], right.sizes),
        votes=_agreed(left.votes, right.votes, files, annotators, names),
        scores=_mean(left, right, files, annotators, names),
        candidates=torch.zeros(len(files), len(a.classes), dtype=torch.bool),
        labels=_labels(left, right, a.classes, files, names),
        annotators=annotators,
        rule=rule,
    )
    return merged.with_candidates(candidates.parse_rule(rule)(merged), rule)


def merge_all(parts: Sequence[Annotations], names: Sequence[str], rule: str | None = None) -> Annotations:
    """Merge one after the other, see `merge`.

    Args:
        parts: at least one.
        names: what messages call each.
        rule: how candidates are formed; by default as in the first.
    """
    together, so_far = parts[0], names[0]
    for part, name in zip(parts[1:], names[1:], strict=True):
        together = merge(together, part, rule, (so_far, name))
        so_far = f"{so_far} and {name}"
    return together


def with_classes(annotations: Annotations, classes: Sequence[str], names: Names) -> Annotations:
    """Reorder class ids to another list of the same names.

    Raises:
        InputError: it has other names; the first of ``names`` is that of the list, the second of the annotations.
    """
    own = annotations.classes
    if own == tuple(classes):
        return annotations
    for one, other, has, lacks in ((classes, own, *names), (own, classes, *reversed(names))):
        missing = [name for name in one if name not in set(other)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(f"{has} has the class {missing[0]!r}{more}, {lacks} does not; annotate with one list.")
    order = torch.tensor([own.index(name) for name in classes])  # (C,) its id of each class
    ids = torch.cat([order.argsort(), torch.tensor([-1])])  # -1 stays -1
    return replace(
        annotations,
        classes=tuple(classes),
        votes=ids[annotations.votes],
        scores=annotations.scores[:, order],
        candidates=annotations.candidates[:, order],
        labels=ids[annotations.labels],
        annotators=tuple(
            one if one.weights is None else replace(one, weights=tuple(one.weights[c] for c in order.tolist()))
            for one in annotations.annotators
        ),
    )


@dataclass(frozen=True)
class _Side:
    """One of the two, laid out over the R images and A annotators of both: -1 and 0 where it says nothing."""

    votes: Int[Tensor, "R A"]
    scores: Float[Tensor, "R C"]
    labels: Int[Tensor, " R"]
    sizes: Int[Tensor, "R 2"]

    @classmethod
    def of(cls, own: Annotations, place: Int[Tensor, " R"], annotators: Sequence[Annotator]) -> "_Side":
        there, source = (place >= 0).nonzero().squeeze(1), place[place >= 0]
        columns = [annotators.index(annotator) for annotator in own.annotators]
        votes = torch.full((len(place), len(annotators)), -1)
        votes[there[:, None], columns] = own.votes[source]
        scores = torch.zeros(len(place), len(own.classes), dtype=own.scores.dtype)
        scores[there] = own.scores[source]
        labels, sizes = torch.full((len(place),), -1), torch.zeros(len(place), 2, dtype=torch.long)
        labels[there], sizes[there] = own.labels[source], own.sizes[source]
        return cls(votes, scores, labels, sizes)


def _places(a: Annotations, b: Annotations, names: Names) -> tuple[Int[Tensor, " R"], Int[Tensor, " R"]]:
    """Rows in ``a`` and ``b`` of each image of either, -1 where it is not there.

    Copies of one image are separated by their names where these are the same, else by their order.
    """
    partner: dict[int, int] = {}
    same = {(digest, name): i for i, (digest, name) in enumerate(zip(a.sha256, a.file_names, strict=True))}
    for j, key in enumerate(zip(b.sha256, b.file_names, strict=True)):
        if key in same:
            partner[j] = same[key]
    free: dict[str, deque[int]] = defaultdict(deque)
    taken = set(partner.values())
    for i, digest in enumerate(a.sha256):
        if i not in taken:
            free[digest].append(i)
    for j, digest in enumerate(b.sha256):
        if j not in partner and digest and free[digest]:
            partner[j] = free[digest].popleft()
    new = [j for j in range(len(b)) if j not in partner]
    known = set(a.file_names)
    for j in new:
        if b.file_names[j] in known:
            raise InputError(
                f"{b.file_names[j]} is one image in {names[0]} and another in {names[1]}; annotate both from "
                "one folder above them, so that their names differ."
            )
    back = {i: j for j, i in partner.items()}
    rows_a = [*range(len(a)), *([-1] * len(new))]
    rows_b = [*(back.get(i, -1) for i in range(len(a))), *new]
    return torch.tensor(rows_a, dtype=torch.long), torch.tensor(rows_b, dtype=torch.long)


def _agreed(
    a: Int[Tensor, "R A"], b: Int[Tensor, "R A"], files: Sequence[str], annotators: Sequence[Annotator], names: Names
) -> Int[Tensor, "R A"]:
    """Votes of both; an annotator of both must have said the same."""
    conflicts = ((a >= 0) & (b >= 0) & (a != b)).nonzero()
    if len(conflicts):
        row, column = conflicts[0].tolist()
        raise InputError(
            f"{_who(annotators[column])} votes differently on {files[row]} in {names[0]} and in {names[1]}; its class "
            "names had other aliases, or its settings changed: merge without one of the two."
        )
    return a.where(a >= 0, b)


def _mean(
    a: _Side, b: _Side, files: Sequence[str], annotators: Sequence[Annotator], names: Names
) -> Float[Tensor, "R C"]:
    """Mean of the scores over all annotators that voted, from the means of either side."""
    first = torch.tensor([annotator.choice == 1 for annotator in annotators], dtype=torch.bool)
    in_a, in_b = (a.votes >= 0) & first, (b.votes >= 0) & first
    both, more_a, more_b = (in_a & in_b).any(1), (in_a & ~in_b).any(1), (in_b & ~in_a).any(1)
    tangled: Bool[Tensor, " R"] = both & more_a & more_b
    if bool(tangled.any()):
        row = int(tangled.nonzero()[0])
        shared = _who(annotators[int((in_a & in_b)[row].nonzero()[0])])
        raise InputError(
            f"{names[0]} and {names[1]} both hold {shared} and each another annotator of {files[row]}, so their mean "
            "scores cannot be joined; merge files of which one has no annotator of the other."
        )
    n_a, n_b = in_a.sum(1, keepdim=True).double(), in_b.sum(1, keepdim=True).double()
    mean = ((n_a * a.scores + n_b * b.scores) / (n_a + n_b).clamp_min(1)).to(a.scores.dtype)
    alone_a, alone_b = ~more_b, more_b & ~more_a
    mean = b.scores.where(alone_b[:, None], mean)
    return a.scores.where(alone_a[:, None], mean)


def _labels(a: _Side, b: _Side, classes: Sequence[str], files: Sequence[str], names: Names) -> Int[Tensor, " R"]:
    """Human labels of both."""
    conflicts = ((a.labels >= 0) & (b.labels >= 0) & (a.labels != b.labels)).nonzero()
    if len(conflicts):
        row = int(conflicts[0])
        conflicting = [
            f"{classes[int(side.labels[row])]!r} in {name}" for side, name in zip((a, b), names, strict=True)
        ]
        raise InputError(
            f"people disagree about {files[row]}, which is {' and '.join(conflicting)}; correct one of them."
        )
    return a.labels.where(a.labels >= 0, b.labels)


def _who(annotator: Annotator) -> str:
    return f"{annotator.model} with {annotator.template!r}" if annotator.template else annotator.model
