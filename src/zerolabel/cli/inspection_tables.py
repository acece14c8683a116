"""The result of an inspection as tables on the screen."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zerolabel.cli.planned import pairs
from zerolabel.cli.tables import share
from zerolabel.diagnostics.agreement import mean_candidates
from zerolabel.diagnostics.inspection import Inspection, Share, vote_counts
from zerolabel.errors.printable import cell as escape

MATRIX, CLASSES = 12, 20
"""Most prompts whose matrix, and most classes whose shares, a terminal shows."""


def inspection(found: Inspection) -> Group:
    """Content of annotations, their estimated quality, and findings."""
    sizes = ", ".join(
        f"{n:,} with {size}" for size, n in enumerate(vote_counts.set_sizes(found.annotations.candidates)) if n
    )
    rows = [
        (
            "images",
            f"{len(found.annotations)}, {len(found.annotations.classes)} classes, {len(found.annotators)} prompts",
        ),
        ("candidates", f"{mean_candidates(found.annotations.candidates):.2f} per image: {sizes}"),
    ]
    if found.n_known is not None:
        rows.append(("truth", f"known of {found.n_known} images; it entered no estimate"))
    parts: list[RenderableType] = [pairs(rows), "", _estimated(found), "", _prompts(found)]
    if 1 < len(found.annotators) <= MATRIX:
        parts += ["", _agreement(found)]
    parts += ["", _shares_of_classes(found), ""]
    for finding in found.findings:
        parts.append(Text.assemble((f"{finding.about}: ", "bold"), finding.text, (f" {finding.suggestion}", "dim")))
    return Group(*parts)


def _estimated(found: Inspection) -> Table:
    table = Table(title="estimated without labels", title_justify="left")
    for name in ("share of the images", "estimate", "interval", "measured"):
        table.add_column(name, justify="left" if name.startswith("share") else "right")
    for name, one in (
        ("right class among the candidates", found.coverage),
        ("best-scored class wrong", found.label_noise),
    ):
        table.add_row(name, share(one.estimate), interval(one), share(one.true))
    return table


def interval(one: Share) -> str:
    """The two ends, or what to do where the annotators do not say enough for an interval."""
    return f"{share(one.low)} to {share(one.high)}" if one.known else "not known; check 50 images"


def _prompts(found: Inspection) -> Table:
    table = Table("", "prompt", box=None, pad_edge=False)
    for name in ("votes", "agrees with others", "estimated accuracy", *(["accuracy"] if found.accuracy else [])):
        table.add_column(name, justify="right")
    agreement = vote_counts.mean_agreement(found.agreement).tolist()
    for a, one in enumerate(found.annotators):
        values = (agreement[a], found.quality[a], *([found.accuracy[a]] if found.accuracy else []))
        table.add_row(
            f"T{a + 1}", escape(one.template), f"{int(found.votes_per_class[a].sum()):,}", *map(_share, values)
        )
    return table


def _agreement(found: Inspection) -> Table:
    names = [f"T{a + 1}" for a in range(len(found.annotators))]
    table = Table(title="agreement of two prompts, %", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for name, row in zip(names, found.agreement.tolist(), strict=True):
        table.add_row(name, *("-" if value != value else f"{100 * value:.0f}" for value in row))
    return table


def _shares_of_classes(found: Inspection) -> Table:
    table = Table("class", box=None, pad_edge=False)
    for name in ("share of votes", "least, of a prompt", "most, of a prompt", "candidate in"):
        table.add_column(name, justify="right")
    counts = found.votes_per_class.double()
    total, each = counts.sum(0) / counts.sum().clamp_min(1), counts / counts.sum(1, keepdim=True).clamp_min(1)
    held = found.annotations.candidates.sum(0).tolist()
    order = total.argsort(descending=True, stable=True).tolist() if len(held) > CLASSES else range(len(held))
    for c in order[:CLASSES]:
        ends = (float(each[:, c].min()), float(each[:, c].max())) if len(each) else (0.0, 0.0)
        name = escape(found.annotations.classes[c])
        table.add_row(name, share(float(total[c])), *map(share, ends), f"{held[c]:,}")
    if len(held) > CLASSES:
        table.add_row(f"and {len(held) - CLASSES:,} more", "", "", "", "")
    return table


def _share(value: float) -> str:
    return share(None if value != value else value)
