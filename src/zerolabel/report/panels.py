"""Tables and charts of annotations, for the report of a run and for the page of an inspection."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.diagnostics.inspection import Inspection, Share, vote_counts
from zerolabel.diagnostics.inspection.intervals import TOO_SURE
from zerolabel.report.charts import bars
from zerolabel.report.formats import percent
from zerolabel.report.heatmap import heat_table
from zerolabel.report.markup import (
    TOP,
    Html,
    bar,
    details,
    figure,
    grid,
    html,
    join,
    number,
    paragraph,
    table,
    top_table,
)

MATRIX = 30
FEW = 8
CELLS = 20_000
ABOUT = (
    "No labels were read. The optimistic end of an interval assumes that prompts err independently of each other; the "
    f"pessimistic end trusts their confidence, less {100 * TOO_SURE:.0f} points; both include sampling error. A "
    "mistake that all prompts share with confidence is invisible in the votes: only labels reveal it."
)


def panels(inspection: Inspection, accuracy: Sequence[float] | None) -> Html:
    """All of them, in the order of the page.

    Args:
        inspection: of annotations that are not empty.
        accuracy: the true one of each annotator, where it is known.
    """
    annotations, agreement, counts = inspection.annotations, inspection.agreement, inspection.votes_per_class
    wide = len(inspection.annotators) > FEW
    charts = [sizes(annotations), votes(inspection, counts, wide=wide), *matrix(agreement, wide=wide)]
    cards = [
        figure("Estimated without labels", estimates(inspection), ABOUT, size="wide"),
        findings(inspection),
        figure("Prompts", prompts(inspection, accuracy), size="wide"),
    ]
    last = figure("Candidates per class", classes(annotations, counts), size="wide")
    return join([grid(cards), grid(charts), grid([last])])


def estimates(inspection: Inspection) -> Html:
    """Coverage and noise: estimate, interval and, where it is known, what was measured."""
    shares = (
        ("True class among the candidates", inspection.coverage),
        ("Top-scored class wrong", inspection.label_noise),
    )
    measured = any(share.true is not None for _, share in shares)
    head: list[object] = ["Share of the images", "0 – 100%", number("Estimate"), number("Interval")]
    head += [number("Measured")] if measured else []
    rows = []
    for name, share in shares:
        row: list[object] = [name, span(share), number(percent(share.estimate)), number(interval(share))]
        row += [number(percent(share.true))] if measured else []
        rows.append(row)
    return table(head, rows, caption="Coverage and noise, estimated without labels", kind="classes")


def interval(share: Share) -> str:
    """The two ends in words."""
    return f"{percent(share.low)} to {percent(share.high)}" if share.known else "not known; check 50 images by hand"


def span(share: Share) -> Html:
    """An interval as a line, the estimate as a dot and the measured share as a ring."""
    ring = "" if share.true is None else f'<i class="zero" style="left:{100 * share.true:.1f}%"></i>'
    return Html(
        '<span class="dots" aria-hidden="true">'
        f'<u style="left:{100 * share.low:.1f}%;width:{100 * (share.high - share.low):.1f}%"></u>'
        f'<i class="student" style="left:{100 * share.estimate:.1f}%"></i>{ring}</span>'
    )


def findings(inspection: Inspection) -> Html:
    """Findings with suggestions."""
    if not inspection.findings:
        nothing = paragraph("Nothing unusual in the votes, the prompts or the class names.")
        return figure("What stands out", nothing, size="wide")
    rows = [(finding.about, finding.text, finding.suggestion) for finding in inspection.findings]
    body = top_table(("About", "What stands out", "What to do"), rows, caption="What stands out", kind="findings")
    return figure("What stands out", body, size="wide")


def prompts(inspection: Inspection, accuracy: Sequence[float] | None) -> Html:
    """A row per annotator."""
    annotators, counts = inspection.annotators, inspection.votes_per_class.sum(1).tolist()
    means = vote_counts.mean_agreement(inspection.agreement).tolist()
    several = len({annotator.model for annotator in annotators}) > 1
    head: list[object] = ["Prompt", "Id"]
    head += ["Annotator"] if several else []
    head += [number("Votes"), "Agreement with the others", "Estimated accuracy"]
    head += ["Accuracy"] if accuracy else []
    rows = []
    for i, annotator in enumerate(annotators):
        row: list[object] = [annotator.template, f"T{i + 1}"]
        row += [annotator.model] if several else []
        row += [number(f"{counts[i]:,}"), _bar(means[i], "plain"), _bar(inspection.quality[i], "student")]
        row += [_bar(accuracy[i], "zero")] if accuracy else []
        rows.append(row)
    return top_table(head, rows, caption="Prompts", kind="prompts")


def _bar(share: float, tone: str) -> Html:
    return bar(0.0 if math.isnan(share) else share, tone, percent(share))


def votes(inspection: Inspection, counts: Int[Tensor, "B C"], *, wide: bool) -> Html:
    """Rows are classes, so that many of them fold, the most voted first; at most `CELLS` cells are drawn."""
    order = (
        counts.sum(0).argsort(descending=True, stable=True).tolist()
        if counts.shape[1] > TOP
        else list(range(counts.shape[1]))
    )
    columns = [
        html('<span title="{t}">T{i}</span>', t=a.template, i=i + 1) for i, a in enumerate(inspection.annotators)
    ]
    top = float(counts.max())

    def part(ids: list[int], caption: str) -> Html:
        values = counts[:, ids].T.tolist()
        return heat_table(
            values,
            [[f"{v:,}" for v in row] for row in values],
            rows=[inspection.annotations.classes[i] for i in ids],
            columns=columns,
            corner="class",
            caption=caption,
            high=top,
        )

    body = part(order[:TOP], "Votes per class and prompt")
    rest = order[TOP : max(CELLS // max(len(columns), 1), TOP)]
    if rest:
        folded = details(f"{len(rest):,} more classes", part(rest, "Votes per class and prompt, continued"))
        body = join([body, folded])
    note = "A prompt that never names a class, or names it far too often, stands out in its row."
    return figure("Votes per class and prompt", body, note, size="wide" if wide else "")


def sizes(annotations: Annotations) -> Html:
    """Number of images by the size of their candidate set."""
    counts = vote_counts.set_sizes(annotations.candidates).tolist()
    names = [str(i) for i in range(len(counts))]
    if len(counts) > 12:
        counts, names = [*counts[:11], sum(counts[11:])], [*names[:11], "11+"]
    chart = bars(counts, names, title="How many images have how many candidates", x_name="candidates of an image")
    return figure(
        "Size of the candidate sets",
        chart,
        "One candidate: all prompts agreed. Large sets carry little information.",
    )


def matrix(agreement: Float[Tensor, "B B"], *, wide: bool) -> list[Html]:
    """Agreement of each two annotators; nothing for one alone."""
    n = len(agreement)
    if n < 2:
        return []
    order = vote_counts.mean_agreement(agreement).nan_to_num(2).argsort(stable=True)[:MATRIX].sort().values
    values = agreement[order][:, order]
    names = [f"T{i + 1}" for i in order.tolist()]
    off = values[~torch.eye(len(order), dtype=torch.bool)]
    low = min(off[off.isfinite()].tolist(), default=0.0)
    table = heat_table(
        values.tolist(),
        [["–" if math.isnan(v) else f"{100 * v:.0f}" for v in row] for row in values.tolist()],
        rows=names,
        columns=names,
        corner="",
        caption="Agreement between prompts, in percent",
        low=low - 0.1,
        high=1.0,
        diagonal=True,
    )
    note = "Share of the images on which two prompts chose the same class, where both voted."
    if n > MATRIX:
        note += f" The {MATRIX} of {n} prompts that agree least with the others."
    return [figure("Agreement between prompts, %", table, note, size="wide" if wide else "")]


def classes(annotations: Annotations, counts: Int[Tensor, "B C"]) -> Html:
    """A row per class: how often it is a candidate, alone and beside which."""
    held = annotations.candidates.sum(0)
    alone = annotations.candidates[annotations.candidates.sum(1) == 1].sum(0)
    together = vote_counts.partners(annotations.candidates)
    top = max(int(held.max()), 1)
    order = held.argsort(descending=True, stable=True).tolist() if len(held) > TOP else range(len(held))
    rows = []
    for i in order:
        partner = int(together[i].argmax())
        shared = int(together[i, partner])
        mixed = f"{annotations.classes[partner]} ({shared:,})" if shared else "–"
        n = int(held[i])
        rows.append(
            (
                annotations.classes[i],
                bar(n / top, "plain", f"{n:,}"),
                number(percent(int(alone[i]) / n if n else None, 0)),
                number(f"{int(counts[:, i].sum()):,}"),
                mixed,
            )
        )
    head = ("Class", "Candidate in", number("Alone"), number("Votes"), "Most often beside")
    return top_table(head, rows, caption="Candidates per class", kind="classes")
