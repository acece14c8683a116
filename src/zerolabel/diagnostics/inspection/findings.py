"""Findings about annotations, each with a suggestion; true labels are not read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations, names_of
from zerolabel.annotations.label_models import first_choices, first_votes
from zerolabel.diagnostics.inspection import vote_counts
from zerolabel.diagnostics.inspection.class_names import Pair, unclear
from zerolabel.diagnostics.inspection.intervals import Share
from zerolabel.vlms.names import is_model

MUCH_NOISE = 0.2
WIDE = 0.2
OUTLIER = 0.2
FEW_IMAGES = 10
TOGETHER = 0.5
_SHOWN = 3
_MOST_IMAGES, _MOST_CLASSES = 50_000, 500


@dataclass(frozen=True)
class Finding:
    """Something that stands out.

    Attributes:
        about: ``noise``, ``candidates``, ``images``, ``prompts`` or ``annotators``, ``classes`` or ``names``.
        text: what it is, one sentence.
        suggestion: what to do, one sentence.
    """

    about: str
    text: str
    suggestion: str


def about_noise(coverage: Share, label_noise: Share) -> Iterator[Finding]:
    """Estimates that are bad, or that say little."""
    if label_noise.estimate >= MUCH_NOISE:
        yield Finding(
            "noise",
            f"About {_percent(label_noise.estimate)} of the labels are estimated to be wrong.",
            "Add annotators, write prompts that say what the images show, take a larger model, or name the "
            "classes more plainly.",
        )
    if label_noise.high - label_noise.low >= WIDE:
        yield Finding(
            "noise",
            f"Between {_percent(label_noise.low)} and {_percent(label_noise.high)} of the labels may be wrong: "
            "the annotators alone cannot tell.",
            "Label 50 to 100 images by hand, drawn at random, and give them with --few-shot: the interval shrinks.",
        )
    if coverage.estimate <= 1 - MUCH_NOISE:
        yield Finding(
            "noise",
            f"The right class is estimated to be missing from {_percent(1 - coverage.estimate)} of the candidate sets.",
            "Add prompts or another model, or take a wider rule such as topk:5.",
        )


def about_candidates(annotations: Annotations) -> Iterator[Finding]:
    """Sets that hold no choice, or too much of it, and images that nobody labeled."""
    sizes = annotations.candidates.sum(1)
    made = sizes[(sizes > 0) & ~annotations.human]
    n_classes = len(annotations.classes)
    if len(made) and bool((made == 1).all()):
        yield Finding(
            "candidates",
            "Every candidate set holds one class.",
            "Add prompts of another wording or another model, or take a rule such as topk:2.",
        )
    elif len(made) and float(made.float().mean()) > n_classes / 3 and n_classes > 3:
        yield Finding(
            "candidates",
            f"A candidate set holds {float(made.float().mean()):.1f} of the {n_classes} classes on average.",
            "Take a narrower rule such as mass:0.9, or remove the prompts that disagree most.",
        )
    if empty := int((sizes == 0).sum()):
        yield Finding(
            "images",
            f"{empty:,} of {len(sizes):,} images have no candidates, because nobody voted.",
            "Look at some: they may show none of the classes; otherwise add another annotator.",
        )


def about_prompts(annotations: Annotations, quality: Sequence[float]) -> Iterator[Finding]:
    """Annotators that add nothing, that stand alone, or that keep naming one class.

    Args:
        annotations: of the images.
        quality: estimated accuracy of each annotator.
    """
    imported = any(not is_model(one.model) for one in annotations.annotators)
    kind = "annotators" if imported else "prompts"
    names = [f"“{name}”" for name in names_of([annotations.annotators[a] for a in first_choices(annotations)])]
    votes = first_votes(annotations)
    if len(names) == 1:
        yield Finding(
            kind,
            "One annotator voted, so nothing is known from agreement.",
            "Add another annotator, such as prompts of a vision-language model."
            if imported
            else "Add prompts or another model; each further prompt costs little once the images are encoded.",
        )
    silent = [name for name, spoke in zip(names, (votes >= 0).any(0).tolist(), strict=True) if not spoke]
    if silent and len(votes):
        yield Finding(kind, f"{_some(silent)} never voted.", "Remove it, or look at what it answered.")
    if repeated := _repeated(votes):
        readings = _some([f"{names[b]} repeats {names[a]}" for a, b in repeated], "; ")
        yield Finding(
            kind,
            f"{len(repeated)} of {len(names)} {kind} never disagree with another one: {readings}.",
            "They are redundant; remove them to save time.",
        )
    middle = float(torch.tensor(quality).nanmedian()) if len(names) > 2 else 0.0
    for name, share in zip(names, quality, strict=True):
        if share < middle - OUTLIER:
            yield Finding(
                kind,
                f"{name} has an estimated accuracy of {_percent(share)}, the median annotator one of "
                f"{_percent(middle)}.",
                "Remove it, unless you know that it sees what the others do not.",
            )
    yield from _one_sided(annotations, votes, names, kind)


def about_classes(annotations: Annotations) -> Iterator[Finding]:
    """Classes that nobody chooses, that take too much, or that cannot be told from another."""
    names, n_classes = annotations.classes, len(annotations.classes)
    counts = vote_counts.votes_per_class(first_votes(annotations), n_classes).sum(0)
    total = int(counts.sum())
    if not total:
        return
    if missing := [names[i] for i in (counts == 0).nonzero()[:, 0].tolist()]:
        yield Finding(
            "classes",
            f"Nobody votes for {_some(missing)}.",
            "Give it another name or an alias; if no image shows it, leave it out.",
        )
    top = int(counts.argmax())
    if int(counts[top]) > total / 2 and n_classes > 2:
        yield Finding(
            "classes",
            f"{names[top]} gets {_percent(int(counts[top]) / total)} of all votes.",
            "If it is not that frequent, its name fits everything: write a more specific one.",
        )
    for first, second, share in _companions(annotations):
        yield Finding(
            "classes",
            f"{_percent(share)} of the candidate sets with {names[first]} also hold {names[second]}.",
            "Tell them apart by clearer names or aliases, or merge them.",
        )


def about_names(names: Sequence[str], pairs: Sequence[Pair], source: str) -> Iterator[Finding]:
    """Class names that are near each other or may be misread.

    Args:
        names: of the classes.
        pairs: that are near, the nearest first.
        source: how the nearness was measured, in words.
    """
    same = [pair for pair in pairs if pair.nearness > 0.99]
    for kind, found in (("the same", same), ("near each other", [pair for pair in pairs if pair not in same])):
        if found:
            listed = _some([f"“{names[pair.first]}” and “{names[pair.second]}”" for pair in found], "; ")
            yield Finding(
                "names",
                f"By {source}, these names are {kind}: {listed}.",
                "Say in the name what sets one apart from the other, or merge the two.",
            )
    reasons: dict[str, list[str]] = {}
    for name in names:
        if reason := unclear(name):
            key = "in one" if "in one" in reason else reason
            reasons.setdefault(key, []).append(f"“{name}” {reason}")
    for readings in reasons.values():
        yield Finding(
            "names", f"{_some(readings, '; ')}.", "Write what is meant, in words: “crane bird”, “annual crop”."
        )


def _one_sided(
    annotations: Annotations, votes: Int[Tensor, "N B"], names: Sequence[str], kind: str
) -> Iterator[Finding]:
    counts = vote_counts.votes_per_class(votes, len(annotations.classes)).float()
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    if len(shares) < 3 or shares.shape[1] < 3:
        return
    usual = shares.median(0).values
    for a, c in ((shares > 0.5) & (shares > 2 * usual)).nonzero().tolist():
        yield Finding(
            kind,
            f"{names[a]} votes for {annotations.classes[c]} on {_percent(float(shares[a, c]))} of the images, the "
            f"others on {_percent(float(usual[c]))}.",
            "Remove this prompt: its wording says that class by itself."
            if kind == "prompts"
            else "Look at some of these images, and remove the annotator if it is wrong.",
        )


def _repeated(votes: Int[Tensor, "N B"]) -> list[tuple[int, int]]:
    """Columns, that voted at all, which are equal to an earlier one: the earlier and the later."""
    first: dict[bytes, int] = {}
    found = []
    for b, column in enumerate(votes.T):
        if bool((column >= 0).any()):
            a = first.setdefault(column.contiguous().numpy().tobytes(), b)
            if a != b:
                found.append((a, b))
    return found


def _companions(annotations: Annotations) -> Iterable[tuple[int, int, float]]:
    """Frequent classes that share most of their candidate sets with another: the pair, once, and the share."""
    step = -(-max(len(annotations), 1) // _MOST_IMAGES)
    sets = annotations.candidates[::step]
    places = sets.sum(0).argsort(descending=True, stable=True)[:_MOST_CLASSES]
    sets = sets[:, places]
    held = sets.sum(0)
    shares: Float[Tensor, "C C"] = vote_counts.partners(sets).float() / held[:, None].clamp_min(1)
    shares[held < FEW_IMAGES] = 0
    best, partner = shares.max(1)
    order = best.argsort(descending=True, stable=True).tolist()
    seen: set[frozenset[int]] = set()
    for c in order[: 4 * _SHOWN]:
        first, second = int(places[c]), int(places[partner[c]])
        pair = frozenset((first, second))
        if float(best[c]) >= TOGETHER and pair not in seen and len(seen) < _SHOWN:
            seen.add(pair)
            yield first, second, float(best[c])


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _some(items: Sequence[str], separator: str = ", ") -> str:
    """The first few."""
    rest = len(items) - _SHOWN
    return separator.join(items[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
