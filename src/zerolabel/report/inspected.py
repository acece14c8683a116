"""The page of an inspection: annotations alone, before anything is trained."""

from zerolabel.diagnostics.inspection import JOINT, Inspection, Share
from zerolabel.report import panels
from zerolabel.report.formats import count, percent, plural
from zerolabel.report.markup import Html, Section, figure, grid, join, number, paragraph, tiles, top_table
from zerolabel.report.page import page
from zerolabel.report.sections.candidates import summary
from zerolabel.report.statement import rule_in_words
from zerolabel.version import __version__
from zerolabel.vlms.names import is_model


def build_inspection(inspection: Inspection) -> str:
    """Make the page of an inspection.

    Returns:
        One HTML page with its style inside, which opens from disk.
    """
    annotations = inspection.annotations
    models = ", ".join(dict.fromkeys(annotator.model for annotator in inspection.annotators))
    imported = any(not is_model(one.model) for one in inspection.annotators)
    lead = f"{plural(len(inspection.annotators), 'prompt')} of {models or 'no model'} read each image."
    lead = f"{plural(len(inspection.annotators), 'annotator')} voted: {models}." if imported else lead
    if inspection.n_known is not None:
        lead += (
            f" The truth of {plural(inspection.n_known, 'image')} stands beside the estimates and entered none of them."
        )
    made = [_result(inspection), _prompts(inspection), _classes(inspection)] if len(annotations) else []
    images, classes = plural(len(annotations), "image"), plural(len(annotations.classes), "class", "classes")
    return page(f"{images}, {classes}: the votes on them", lead, made, brand="inspection", maker=__version__)


def _result(inspection: Inspection) -> Section:
    annotations = inspection.annotations
    sizes = annotations.candidates.sum(1)
    facts = [
        (
            "student",
            percent(inspection.coverage.estimate),
            "True class among the candidates",
            _remark(inspection.coverage),
        ),
        ("zero", percent(inspection.label_noise.estimate), "Top-scored class wrong", _remark(inspection.label_noise)),
        ("plain", f"{sizes[sizes > 0].float().mean().nan_to_num():.2f}", "Candidates per image", "where there are any"),
        ("plain", count(int((sizes == 0).sum())), "Images without candidates", f"of {len(sizes):,}"),
    ]
    estimates = figure("Estimated without labels", panels.estimates(inspection), panels.ABOUT, size="wide")
    body = [tiles(facts), grid([panels.findings(inspection), estimates])]
    return Section("result", "How good are they?", join(body))


def _remark(share: Share) -> str:
    return f"estimated; {panels.interval(share)}" + ("" if share.true is None else f"; measured {percent(share.true)}")


def _prompts(inspection: Inspection) -> Section:
    wide = len(inspection.annotators) > panels.FEW
    table = panels.prompts(inspection, inspection.accuracy)
    reading = "votes and confidence" if inspection.label_model == JOINT else f"the label model {inspection.label_model}"
    note = f"Estimated accuracy: mean probability of what a prompt voted for, by {reading}; no label was read."
    charts = [
        *panels.matrix(inspection.agreement, wide=wide),
        panels.votes(inspection, inspection.votes_per_class, wide=wide),
    ]
    body = [grid([figure("Prompts", table, note, size="wide")]), grid(charts)]
    return Section("prompts", "Prompts", join(body))


def _classes(inspection: Inspection) -> Section:
    annotations = inspection.annotations
    body = [
        paragraph(summary(annotations, rule_in_words(annotations.rule))),
        grid([panels.sizes(annotations), _names(inspection)]),
        grid([figure("Candidates per class", panels.classes(annotations, inspection.votes_per_class), size="wide")]),
    ]
    return Section("classes", "Candidates and classes", join(body))


def _names(inspection: Inspection) -> Html:
    title, classes = "Class names that are near each other", inspection.annotations.classes
    if not inspection.near:
        return figure(title, paragraph("None."), f"Measured by {inspection.near_by}.")
    rows = [(classes[p.first], classes[p.second], number(percent(p.nearness, 0))) for p in inspection.near]
    body = top_table(("Class", "Near", number("Nearness")), rows, caption=title, kind="classes")
    return figure(title, body, f"Measured by {inspection.near_by}.")
