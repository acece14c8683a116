"""What the annotators said: votes, candidate sets and agreement."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.inspection import tallies
from zerolabel.report.charts import bars
from zerolabel.report.formats import percent, plural
from zerolabel.report.heatmap import heat_table
from zerolabel.report.markup import (
    TOP,
    Html,
    Section,
    bar,
    details,
    figure,
    grid,
    html,
    join,
    number,
    paragraph,
    top_table,
)
from zerolabel.report.run import Run
from zerolabel.report.statement import rule

MATRIX = 30
FEW = 8
CELLS = 20_000


def section(run: Run) -> Section | None:
    """Statistics per template and per class."""
    annotations = run.annotations
    if annotations is None or not len(annotations):
        return None
    agreement = tallies.vote_agreement(annotations.votes)
    counts = tallies.votes_per_class(annotations.votes, len(annotations.classes))
    few = len(annotations.annotators) <= FEW
    charts = [_sizes(annotations), _votes(annotations, counts, wide=not few), *_matrix(agreement, wide=not few)]
    parts = [
        paragraph(_summary(run, annotations)),
        figure("Prompts", _prompts(run, annotations, agreement), size="wide"),
        grid(charts) if few else join(charts),
        figure("Candidates per class", _classes(annotations, counts), size="wide"),
    ]
    return Section("candidates", "Candidates", join(parts))


def _summary(run: Run, annotations: Annotations) -> str:
    sizes = annotations.candidates.sum(1)
    n = len(annotations)
    one, none = int((sizes == 1).sum()), int((sizes == 0).sum())
    unvoted = "every image has at least one" if not none else f"{plural(none, 'image')} got none because nobody voted"
    text = (
        f"Rule: {rule(run)}. An image has {sizes.float().mean():.2f} candidates on average; {percent(one / n)} of "
        "the images "
        f"have exactly one, and {unvoted}."
    )
    human = int(annotations.human.sum())
    if human:
        text += f" {human:,} carry a label given by a person."
    coverage = run.metrics.get("candidate_coverage")
    if run.has_truth and coverage is not None:
        text += f" The true class is among the candidates of {percent(coverage)} of the images for which it is known."
    return text


def _prompts(run: Run, annotations: Annotations, agreement: Float[Tensor, "A A"]) -> Html:
    means = tallies.mean_agreement(agreement).tolist()
    per_template = run.metrics.get("zero_shot_accuracy_per_template") if run.has_truth else None
    several = len({annotator.model for annotator in annotations.annotators}) > 1
    voted = (annotations.votes >= 0).sum(0).tolist()
    head: list[object] = ["Prompt", "Id"]
    head += ["Annotator"] if several else []
    head += [number("Votes"), "Agrees with the others"]
    head += ["Accuracy"] if per_template else []
    rows = []
    for i, annotator in enumerate(annotations.annotators):
        row: list[object] = [annotator.template, f"T{i + 1}"]
        row += [annotator.model] if several else []
        row += [number(f"{voted[i]:,}"), _bar(means[i], "plain")]
        if per_template:
            row.append(_bar(per_template.get(annotator.template, math.nan), "zero"))
        rows.append(row)
    return top_table(head, rows, caption="Prompts", kind="prompts")


def _bar(share: float, tone: str) -> Html:
    return bar(0.0 if math.isnan(share) else share, tone, percent(share))


def _votes(annotations: Annotations, counts: Int[Tensor, "A C"], *, wide: bool) -> Html:
    """Rows are classes, so that many of them fold, the most voted first; at most `CELLS` cells are drawn."""
    order = (
        counts.sum(0).argsort(descending=True, stable=True).tolist()
        if counts.shape[1] > TOP
        else list(range(counts.shape[1]))
    )
    columns = [
        html('<span title="{t}">T{i}</span>', t=a.template, i=i + 1) for i, a in enumerate(annotations.annotators)
    ]
    top = float(counts.max())

    def part(ids: list[int], caption: str) -> Html:
        values = counts[:, ids].T.tolist()
        return heat_table(
            values,
            [[f"{v:,}" for v in row] for row in values],
            rows=[annotations.classes[i] for i in ids],
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


def _sizes(annotations: Annotations) -> Html:
    counts = tallies.set_sizes(annotations.candidates).tolist()
    names = [str(i) for i in range(len(counts))]
    if len(counts) > 12:
        counts, names = [*counts[:11], sum(counts[11:])], [*names[:11], "11+"]
    chart = bars(counts, names, title="How many images have how many candidates", x_name="candidates of an image")
    return figure(
        "Size of the candidate sets",
        chart,
        "One candidate: all prompts agreed. Long tails cost the student information.",
    )


def _matrix(agreement: Float[Tensor, "A A"], *, wide: bool) -> list[Html]:
    n = len(agreement)
    if n < 2:
        return []
    order = tallies.mean_agreement(agreement).nan_to_num(2).argsort(stable=True)[:MATRIX].sort().values
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
        caption="Agreement between prompts, in per cent",
        low=low - 0.1,
        high=1.0,
        diagonal=True,
    )
    note = "Share of the images on which two prompts chose the same class, where both voted."
    if n > MATRIX:
        note += f" The {MATRIX} of {n} prompts that agree least with the others."
    return [figure("Agreement between prompts, %", table, note, size="wide" if wide else "")]


def _classes(annotations: Annotations, counts: Int[Tensor, "A C"]) -> Html:
    held = annotations.candidates.sum(0)
    alone = annotations.candidates[annotations.candidates.sum(1) == 1].sum(0)
    together = tallies.partners(annotations.candidates)
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
