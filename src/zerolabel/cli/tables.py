"""Small tables printed at the end of a stage."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zerolabel.adaptation.transduce import Transduced
from zerolabel.annotate import Written
from zerolabel.annotate.chat_progress import CostPreview
from zerolabel.annotate.embeddings import Embedded
from zerolabel.annotations import Annotations
from zerolabel.cli.doctor import Finding
from zerolabel.cli.listing import Entry
from zerolabel.cli.planned import annotators, pairs, some
from zerolabel.deployment.export import Exported
from zerolabel.deployment.quantize import Quantized
from zerolabel.diagnostics.agreement import mean_candidates
from zerolabel.errors.printable import cell as escape
from zerolabel.errors.redaction import redacted
from zerolabel.runs.config import Config
from zerolabel.runs.cost import duration


def outcome(metrics: dict[str, Any], folder: Path) -> Group:
    """The numbers of a run."""
    kept = metrics.get("n_set_aside", 0)
    aside = f"; {kept} of them held out to check for alarms" if kept else ""
    rows = [
        *verdict(metrics, folder),
        ("images", f"{metrics['n_images']} used, {metrics['n_skipped']} left out{aside}"),
        ("candidates", f"{metrics['mean_candidates']:.2f} per image"),
        ("student", f"{metrics['student_parameters']:,} parameters{annotator(metrics)}"),
    ]
    if metrics["student_agreement"] is not None:
        rows.append(("agreement", f"the two networks agree on {metrics['student_agreement']:.1%} of the images"))
    same = f"same class as torch on {metrics['onnx']['agreement']:.2%} of {metrics['onnx']['n_checked']} images"
    rows.append(("ONNX", f"{same}, probabilities within {metrics['onnx']['max_difference']:.1e}"))
    rows.append(("time", times(metrics)))
    if "adaptation" in metrics:
        rows.append(("adapting", adaptation(metrics["adaptation"])))
    parts: list[RenderableType] = [pairs(rows)]
    if "student_accuracy" in metrics:
        parts += ["", accuracies(metrics)]
    if "compared" in metrics:
        parts += ["", compared(metrics["compared"])]
    if "review" in metrics:
        parts += ["", Text(reviewed(metrics["review"]))]
    return Group(*parts, "", Text(f"{folder}/report.html", style="bold"))


def verdict(metrics: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Accuracy, what is deployed and why, and every alarm: the first rows at the end of a run."""
    rows = [("warning", metrics["unknown_images"])] if metrics.get("unknown_images") else []
    student, zero_shot = metrics.get("student_accuracy"), metrics.get("zero_shot_accuracy")
    if student is None and "review" not in metrics:
        rows.append(("accuracy", estimated_accuracy(metrics, folder)))
    if student is not None and zero_shot is not None and student < zero_shot:
        less = f"the student is below zero-shot: {share(student)} against {share(zero_shot)}"
        rows.append(("warning", f"{less}, on {metrics['n_evaluated']} {metrics['evaluated_on']}"))
    if "deployed" in metrics:
        reason = metrics.get("deployment_reason") or metrics.get("fallback_reason")
        rows.append(("deployed", metrics["deployed"] + (f": {reason}" if reason else "")))
    rows += [("alarm", alarm["text"]) for alarm in metrics.get("alarms", ()) if alarm["text"] not in str(rows)]
    for alarm in metrics.get("lifted_alarms", ()):
        rows.append(("lifted alarm", f"after epoch {alarm['epoch'] + 1} of '{alarm['stage']}' {alarm['text']}"))
    return rows


def estimated_accuracy(metrics: dict[str, Any], folder: Path) -> str:
    """The estimated accuracy of what is deployed, and the command that checks it."""
    check = f"check 50 images: zerolabel review {shlex.quote(str(folder))}"
    found = (metrics.get("estimated_accuracy") or {}).get(metrics.get("deployed", "student")) or {}
    if not found.get("known"):
        return f"not known; {check}"
    return f"estimated {ends(found)}, not checked; {check}"


def ends(estimated: dict[str, Any]) -> str:
    """An interval of an estimate, in whole percent, since it is no more exact."""
    return f"{100 * estimated['low']:.0f} to {100 * estimated['high']:.0f}%"


def compared(rows: Sequence[dict[str, Any]]) -> Table:
    """The student beside simpler classifiers."""
    measured = any(row["accuracy"] is not None for row in rows)
    title = "beside simpler classifiers" + ("" if measured else ", without labels")
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("accuracy" if measured else "estimated accuracy", justify="right")
    table.add_column(f"agrees with {rows[0]['name']}", justify="right")
    for row in rows:
        about = row["estimated_accuracy"]
        guess = ends(about) if about["known"] else "not known"
        table.add_row(escape(row["name"]), share(row["accuracy"]) if measured else guess, share(row["agreement"]))
    return table


def times(metrics: dict[str, Any]) -> str:
    """Seconds of the whole run and of its stages, with what was estimated."""
    stages = ", ".join(f"{stage} {spent:.0f} s" for stage, spent in metrics["seconds"].items())
    compared = metrics.get("time", {})
    whole, estimated = compared.get("measured_seconds"), compared.get("estimated_seconds")
    planned = "" if estimated is None else f" (the plan said {duration(estimated)})"
    return stages if whole is None else f"{duration(whole)}{planned}: {stages}"


def reviewed(found: dict[str, Any]) -> str:
    """The result of a review."""
    about = "" if found["accuracy"] is None else f"accuracy about {share(found['accuracy'])}, "
    return f"{about}{share(found['low'])} to {share(found['high'])} by {found['n_answers']} answers of a review"


def adaptation(done: dict[str, Any]) -> str:
    """Result of an adaptation, by the label-free check."""
    used = "the model is used as adapted" if done["helped"] else f"the model is used as it was: {done['reason']}"
    return f"{done['method']}, {used}"


def annotator(metrics: dict[str, Any]) -> str:
    """Size of the annotator; nothing where the annotations existed."""
    return f", annotator {metrics['vlm_parameters']:,}" if "vlm_parameters" in metrics else ""


def accuracies(metrics: dict[str, Any]) -> Table:
    """Annotators together and student."""
    table = Table(title=f"accuracy on {metrics['n_evaluated']} {metrics['evaluated_on']}", title_justify="left")
    table.add_column("")
    table.add_column("accuracy", justify="right")
    table.add_column("mean over classes", justify="right")
    names = {"zero_shot": "zero-shot prompt ensemble", "student": "student"}
    if "unadapted_accuracy" in metrics:
        names = {"unadapted": "before adapting", "zero_shot": "adapted model", "student": "student"}
    names = {"votes": "votes, without training", **names} if "votes_accuracy" in metrics else names
    for key, name in names.items():
        if f"{key}_accuracy" not in metrics:
            continue
        values = (metrics[f"{key}_accuracy"], metrics[f"{key}_mean_per_class_accuracy"])
        table.add_row(name, *(share(value) for value in values))
    return table


def previewed(config: Config, previews: dict[str, CostPreview]) -> tuple[Table, dict[str, Any]]:
    """The estimated cost of chat annotation."""
    rows = [("images", redacted(config.data.images)), ("annotators", annotators(config.annotation))]
    for name, one in previews.items():
        cost = "" if one.cost is None else f", at most {one.cost:.2f} in all"
        tokens = f"about {one.tokens_in:,} tokens sent and at most {one.tokens_out:,} received"
        rows.append((name, f"{one.requests:,} requests, {tokens}{cost}; {one.cached:,} are answered already"))
    return pairs(rows), {**config.to_dict(), "questions": {name: asdict(one) for name, one in previews.items()}}


def annotated(done: Written, folder: Path) -> tuple[Table, dict[str, Any]]:
    """Summary of annotations."""
    facts = {
        "n_images": done.n_images,
        "n_skipped": len(done.skipped),
        "n_classes": len(done.classes),
        "n_annotators": len(done.annotators),
        "mean_candidates": done.mean_candidates,
        "images_per_second": done.images_per_second,
        "annotations": str(folder / "annotations.parquet"),
    }
    rows = [
        ("images", f"{facts['n_images']} annotated, {facts['n_skipped']} unreadable"),
        ("annotators", prompts_of(done)),
        ("candidates", f"{facts['mean_candidates']:.2f} per image"),
        ("speed", f"{done.images_per_second:.0f} images/s" if done.images_per_second else "not measured: from a cache"),
        ("written", str(facts["annotations"])),
    ]
    if done.skipped:
        rows.insert(
            1, ("unreadable", f"see {folder / 'skipped.csv'}, first {done.skipped[0][0]}: {done.skipped[0][1]}")
        )
    return pairs(rows), facts


def embedded(done: Embedded) -> tuple[Table, dict[str, Any]]:
    """Summary of `embed`."""
    facts = {
        "n_images": done.n_images,
        "n_skipped": len(done.skipped),
        "dimensions": done.dimensions,
        "images_per_second": done.images_per_second,
        "embeddings": str(done.folder),
    }
    rows = [
        ("images", f"{done.n_images:,}, {len(done.skipped)} unreadable"),
        ("embeddings", f"{done.n_images:,} x {done.dimensions}"),
        ("written", f"{done.folder}; read it as embeddings:{done.folder}"),
    ]
    return pairs(rows), facts


def transduced(done: Transduced, method: str, path: Path) -> tuple[Table, dict[str, Any]]:
    """Summary of transductive annotation."""
    annotations = done.annotations
    facts = {
        "n_images": len(annotations),
        "n_skipped": len(done.skipped),
        "n_classes": len(annotations.classes),
        "n_annotators": len(annotations.annotators),
        "method": method,
        "n_changed": done.changed,
        "mean_candidates": mean_candidates(annotations.candidates),
        "rule": annotations.rule,
        "annotations": str(path),
    }
    rows = [
        ("images", f"{facts['n_images']} together, {facts['n_skipped']} unreadable"),
        ("prompts", prompts_of(annotations)),
        ("best class", f"another than the prompts' on {done.changed} images"),
        ("candidates", f"{facts['mean_candidates']:.2f} per image by {annotations.rule}"),
        ("written", str(path)),
    ]
    return pairs(rows), facts


def merged(before: Sequence[Annotations], after: Annotations, path: Path) -> tuple[Table, dict[str, Any]]:
    """Summary of merged annotations."""
    facts = {
        "n_images": len(after),
        "n_annotators": len(after.annotators),
        "n_human": int(after.human.sum()),
        "mean_candidates": mean_candidates(after.candidates),
        "n_without_candidates": _n_empty(after),
        "rule": after.rule,
        "annotations": str(path),
    }
    rows = [
        ("images", f"{len(after)}, from {' + '.join(str(len(one)) for one in before)}"),
        ("annotators", prompts_of(after)),
        ("human labels", str(facts["n_human"])),
        ("candidates", f"{facts['mean_candidates']:.2f} per image by {after.rule}, {_n_empty(after)} images with none"),
        ("written", str(path)),
    ]
    return pairs(rows), facts


def rebuilt(before: Annotations, after: Annotations, path: Path) -> tuple[Group, dict[str, Any]]:
    """Candidate sets before and after."""
    changed = int((before.candidates != after.candidates).any(1).sum())
    facts: dict[str, Any] = {
        "n_images": len(after),
        "n_changed": changed,
        "n_human": int(after.human.sum()),
        "annotations": str(path),
    }
    table = Table("", box=None, pad_edge=False)
    for key, one in (("before", before), ("after", after)):
        facts[key] = {
            "rule": one.rule,
            "mean_candidates": mean_candidates(one.candidates),
            "n_without_candidates": _n_empty(one),
            "n_with_one": int((one.candidates.sum(1) == 1).sum()),
            "n_human": int(one.human.sum()),
        }
        table.add_column(key, justify="right")
    rows = {
        "rule": "rule",
        "candidates per image": "mean_candidates",
        "images with exactly one": "n_with_one",
        "images with none": "n_without_candidates",
        "human labels": "n_human",
    }
    for name, key in rows.items():
        values = [facts[when][key] for when in ("before", "after")]
        table.add_row(name, *(f"{value:.2f}" if isinstance(value, float) else escape(str(value)) for value in values))
    return Group(table, "", pairs([("changed", f"{changed} of {len(after)} images"), ("written", str(path))])), facts


def prompts_of(annotations: Annotations | Written) -> str:
    """The models that voted and their numbers of prompts."""
    counts = Counter(annotator.model for annotator in annotations.annotators if annotator.choice == 1)
    return some([f"{model} x {count} prompts" for model, count in counts.items()]) or "none"


def _n_empty(annotations: Annotations) -> int:
    """Images without a candidate, which count as unlabeled."""
    return int((~annotations.candidates.any(1)).sum())


def evaluation(facts: dict[str, Any]) -> Group:
    """A classifier against the truth."""
    rows = [
        ("images", f"{facts['n']} with known truth, {facts['n_skipped']} unreadable"),
        ("accuracy", share(facts["accuracy"])),
        ("mean over classes", share(facts["mean_per_class_accuracy"])),
        ("calibration error", share(facts["ece"])),
    ]
    classes = Table("class", "accuracy", box=None, pad_edge=False)
    for name, value in facts["per_class"].items():
        classes.add_row(escape(name), share(value))
    return Group(pairs(rows), "", classes)


def exported(done: Exported, path: Path, int8: Quantized | None, small: Path) -> Table:
    """The ONNX file, and the int8 file if one was asked for."""
    quantized = [] if int8 is None else [("int8", quantized_file(int8, small))]
    found = [("not checked", "this system cannot run the file; check it where it is used")]
    if done.max_difference is not None:
        found = [
            ("against torch", f"largest difference {done.max_difference:.1e}, same class on {done.agreement:.2%}"),
            ("checked on", f"{done.n_checked} images"),
        ]
    return pairs([("written", f"{path}, {done.n_bytes / 1e6:.2f} MB"), *found, *quantized])


def quantized_file(made: Quantized, path: Path) -> str:
    """Path, size, agreement and speed of the int8 file, or why it was not kept."""
    found = f"same class as float32 on {made.agreement:.2%} of {made.n_checked} images, {made.speedup:.2f} x its speed"
    return f"{path}, {made.n_bytes / 1e6:.2f} MB; {found}" if made.kept else f"not kept: {found}"


def algorithms(entries: Sequence[Entry], *, whole: bool, kind: str) -> RenderableType:
    """All algorithms of a kind, or a single one in full."""
    if not whole:
        has_commands = any(entry.commands for entry in entries)
        table = Table(kind, *(["command"] if has_commands else []), "description", "paper")
        for entry in entries:
            commands = [", ".join(entry.commands)] if has_commands else []
            table.add_row(entry.name, *commands, escape(entry.summary), escape(entry.paper))
        return table
    (entry,) = entries
    arguments = Table("argument", "default", "kind", "meaning")
    for one in entry.arguments:
        arguments.add_row(one.name, escape(str(one.default)), escape(one.kind), escape(one.meaning))
    head: list[RenderableType] = [
        Text(entry.name, style="bold"),
        Text(entry.summary),
        "",
        Text(entry.paper, style="italic"),
        "",
    ]
    return Group(*head, Padding(Text(entry.details), (0, 2)), "", arguments)


def doctor(findings: Sequence[Finding]) -> Table:
    """Findings of ``zerolabel doctor``."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[yellow]!![/]"
        table.add_row(mark, f"[bold]{escape(finding.name)}[/]", escape(finding.text))
    return table


def share(value: float | None) -> str:
    """Percent."""
    return "-" if value is None else f"{value:.2%}"
