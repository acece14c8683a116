"""The model card: a README with the header that model hubs read."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from zerolabel.annotations import names_of
from zerolabel.diagnostics.inspection import vote_counts
from zerolabel.report import speed
from zerolabel.report.formats import count, magnitude, percent, plural, short, size
from zerolabel.report.intervals import wilson
from zerolabel.report.licenses import license
from zerolabel.report.reviewed import sentences
from zerolabel.report.run import Run
from zerolabel.report.sections.artifact import files
from zerolabel.report.statement import PYTHON, SHELL, command, limits, measured_on, request, rule, vision
from zerolabel.vlms import hub_repository

MOST = 100
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#~"})


def model_card(run: Path) -> str:
    """Write the model card of a run.

    Args:
        run: the run's folder; what is missing in it is left out of the card.

    Returns:
        Markdown with a YAML header.

    Raises:
        InputError: the folder holds no run, or a file in it is damaged.
    """
    loaded = Run.load(run)
    parts = [
        _header(loaded),
        f"# A classifier of {plural(len(loaded.classes), 'class', 'classes')}, learned without labels",
        _escape(request(loaded)),
        *_chapter("Results", _results(loaded)),
        *_chapter("Use", _use(loaded)),
        *_chapter("Limits", "\n".join(f"- {_escape(line)}" for line in limits(loaded))),
        *_chapter("Classes", _names(loaded.classes)),
        *_chapter("Annotators and prompts", _annotators(loaded)),
        *_chapter("Candidates", _candidates(loaded)),
        *_chapter("Calibration", _calibration(loaded)),
        *_chapter("Latency and size", _latency(loaded)),
        *_chapter("Files", _files(loaded)),
        *_chapter("Made by", _made_by(loaded)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _chapter(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _header(run: Run) -> str:
    facts: dict[str, Any] = {
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["zerolabel", "image-classification", "weak-supervision", "partial-label-learning", "onnx"],
    }
    facts |= {name: found for name, found in (("base_model", _models(run)), ("datasets", _data_sets(run))) if found}
    review = run.metrics.get("review") or {}
    share = run.metrics["student_accuracy"] if run.has_truth else review.get("accuracy")
    if share is not None:
        name = "accuracy" if run.has_truth else f"accuracy, estimated by {review['n_answers']} answers"
        metrics = [{"type": "accuracy", "name": name, "value": round(float(share), 4)}]
        on = run.metrics.get("evaluated_on") if run.has_truth else review["images"]
        data = {"type": "private", "name": str(on or "images")}
        task = {"type": "image-classification"}
        name = f"{run.config.get('learner', 'student')}-{run.config.get('student', 'classifier')}"
        facts["model-index"] = [{"name": name, "results": [{"task": task, "dataset": data, "metrics": metrics}]}]
    header: str = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return f"---\n{header}---"


def _models(run: Run) -> list[str]:
    """Hub repositories of the annotating models."""
    return [found for name in run.config.get("vlm") or () if (found := hub_repository(name)) is not None]


def _data_sets(run: Run) -> list[str]:
    """Names on the hub of the data sets that the images came from."""
    places = [str(run.config.get(name) or "") for name in ("images", "test_images")]
    found = [re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?::[\w.-]+)?", place) for place in places]
    return list(dict.fromkeys(one[1] for one in found if one and not Path(one[1]).exists()))


def _results(run: Run) -> str:
    m = run.metrics
    if not run.finished:
        return "The run that made this folder has not finished."
    deployed = []
    if m.get("deployed") == "zero-shot":
        deployed = [f"**Deployed is the zero-shot ensemble, not the student:** {_escape(m['fallback_reason'])}\n\n"]
    elif m.get("deployed_by") == "review":
        deployed = [f"**The student is deployed by a person’s answers.** {_escape(m['deployment_reason'])}\n\n"]
    if not run.has_truth and m.get("review"):
        return "".join(deployed) + _escape(sentences(run))
    if not run.has_truth:
        lines = [
            *deployed,
            "This classifier was never compared with true labels, so how often it is right is not known.",
        ]
        lines += [_escape(text)] if (text := sentences(run)) else []
        lines += [_estimate(run)]
        both = run.shown.dropna(subset=["zero_shot", "student"])
        if len(both):
            same = float((both["zero_shot"] == both["student"]).mean())
            lines.append(
                f"It agrees with {'its' if run.imported else 'its zero-shot'} annotators on {percent(same)} of "
                f"{run.shown_name}."
            )
        if m.get("student_agreement") is not None:
            lines.append(f"The two networks trained together agree on {percent(m['student_agreement'])} of the images.")
        return " ".join(lines) + f" `zerolabel review {run.folder.name}` asks for 50 images to find out."
    rows = [("Student", *_measured(m["student_accuracy"], m.get("n_evaluated")))]
    if m.get("zero_shot_accuracy") is not None:
        rows.append(
            (
                "Vote of all annotators" if run.imported else "Zero-shot, all prompts",
                *_measured(m["zero_shot_accuracy"], m.get("n_evaluated")),
            )
        )
    table = _table(("", "Accuracy", "95% interval"), rows)
    measured = f"Measured on {measured_on(run)}; the true labels took no part in training.\n\n{table}"
    return "".join(deployed) + measured + _per_class(run)


def _estimate(run: Run) -> str:
    """The estimated accuracy of what is deployed, as a sentence."""
    found = (run.metrics.get("estimated_accuracy") or {}).get(run.metrics.get("deployed", "student")) or {}
    if not found.get("known"):
        return "No dependable estimate without labels is known."
    ends = f"{100 * found['low']:.0f} to {100 * found['high']:.0f}%"
    return f"Its accuracy, estimated without labels on {found['images']} and not checked, is {ends}."


def _measured(share: float, n: int | None) -> tuple[str, str]:
    if not n:
        return percent(share), "–"
    low, high = wilson(round(share * n), n)
    return percent(share), f"{100 * low:.1f} to {100 * high:.1f}%"


def _per_class(run: Run) -> str:
    """All classes, or the worst ones where there are many."""
    student = run.evaluation.get("per_class") or run.metrics.get("student_per_class") or {}
    zero_shot = run.evaluation.get("zero_shot_per_class") or {}
    known = [(name, share) for name, share in student.items() if share is not None]
    if not known:
        return ""
    few = len(known) <= MOST
    kept = known if few else sorted(known, key=lambda item: float(item[1]))[:MOST]
    rows = [(name, percent(zero_shot.get(name)), percent(share)) for name, share in kept]
    title = "" if few else f"\n\nThe {MOST} weakest classes:"
    return f"{title}\n\n" + _table(("Class", run.before_title, "Student"), rows)


def _use(run: Run) -> str:
    names = "Sorting images of the same kind as those it was trained on into the classes below."
    return (
        f"{names} Not for decisions about people, nor wherever a wrong answer does harm that nobody would "
        f"notice.\n\n{_fence(SHELL, 'sh')}\n\n{_fence(PYTHON, 'python')}"
    )


def _names(classes: Sequence[str]) -> str:
    shown = ", ".join(_escape(name) for name in classes[:MOST])
    return (
        shown
        if len(classes) <= MOST
        else f"{shown} and {len(classes) - MOST:,} more; `classifier/config.json` lists them all."
    )


def _annotators(run: Run) -> str:
    annotators = run.annotations.annotators if run.annotations is not None else ()
    if not annotators:
        return ""
    models = dict.fromkeys((annotator.model, annotator.revision) for annotator in annotators)
    parameters = run.metrics.get("vlm_parameters")
    who = [(model, revision or "–", license(model)) for model, revision in models]
    per_template = (run.metrics.get("zero_shot_accuracy_per_template") or {}) if run.has_truth else {}
    means = (
        vote_counts.mean_agreement(vote_counts.vote_agreement(run.annotations.votes)).tolist()
        if run.annotations
        else []
    )
    head = (
        "Annotator" if run.imported else "Prompt",
        "Agreement with the others",
        *(("Accuracy",) if per_template else ()),
    )
    rows = [
        (name, percent(mean), *((percent(per_template.get(name)),) if per_template else ()))
        for name, mean in zip(names_of(annotators), means, strict=True)
    ]
    weight = (
        f"\n\n{magnitude(parameters)} parameters, against {magnitude(run.metrics.get('student_parameters'))} of "
        "the student."
        if parameters
        else ""
    )
    beside = vision(run)
    parts = [_table(("Annotator", "Revision", "License of its weights"), who) + weight, beside, _table(head, rows)]
    return "\n\n".join(part for part in parts if part)


def _candidates(run: Run) -> str:
    if run.annotations is None or not len(run.annotations):
        return ""
    sizes = run.annotations.candidates.sum(1).float()
    rows = [
        ("Images", count(len(run.annotations))),
        ("Images that could not be read", count(len(run.skipped))),
        ("Rule", rule(run)),
        ("Candidates per image, mean", f"{sizes.mean():.2f}"),
        ("Images with exactly one", percent(float((sizes == 1).float().mean()))),
        ("Images with none", percent(float((sizes == 0).float().mean()))),
        ("Images labeled by a person", count(int(run.annotations.human.sum()))),
    ]
    coverage = run.metrics.get("candidate_coverage")
    if run.has_truth and coverage is not None:
        rows.append(("True class among the candidates", percent(coverage)))
    return _table(("", ""), rows)


def _calibration(run: Run) -> str:
    m = run.metrics
    rows = []
    if m.get("temperature") is not None:
        rows.append(("Temperature, set without labels", short(m["temperature"])))
    if m.get("threshold") is not None:
        rows.append(("Threshold below which it may abstain", percent(m["threshold"])))
    if run.has_truth and run.evaluation.get("ece") is not None:
        rows.append(("Expected calibration error, measured afterward", percent(run.evaluation["ece"])))
    return _table(("", ""), rows) if rows else ""


def _latency(run: Run) -> str:
    rows = speed.rows(run)
    return f"{_table(speed.head(run), rows)}\n\n{_escape(speed.note(run))}" if rows else ""


def _files(run: Run) -> str:
    onnx = run.metrics.get("onnx") or {}
    rows = [(f"{name}", size(n)) for name, n in files(run)]
    if not rows:
        return ""
    parity = ""
    if onnx.get("agreement") is not None and onnx.get("max_difference") is not None:
        parity = (
            f"\n\nONNX and torch give the same class on {percent(onnx['agreement'], 2)} of the images checked; "
            f"their probabilities differ by {short(onnx['max_difference'])} at most."
        )
    return _table(("File", "Size"), rows) + parity


def _made_by(run: Run) -> str:
    line = command(run)
    version = f"zerolabel {run.config.get('zerolabel', '')}".strip()
    return f"{version}\n\n{_fence(line, 'sh')}" if line else version


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fence(content: str, language: str) -> str:
    """A block of code, in a fence longer than any in it."""
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", content)), default=0))
    return f"{marks}{language}\n{content.rstrip()}\n{marks}"


def _escape(value: str) -> str:
    """Text that Markdown shows as it is."""
    return " ".join(value.translate(_SPECIAL).split())
