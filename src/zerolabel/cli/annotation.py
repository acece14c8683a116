"""Commands that make, change or look at annotations."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    CacheOpt,
    ClassesOpt,
    DeviceOpt,
    FewShotOpt,
    ImagesArg,
    JsonOpt,
    OutOpt,
    OverwriteOpt,
    ResumeOpt,
    RuleOpt,
    TemplatesOpt,
    TruthOpt,
    VlmOpt,
)
from zerolabel.cli.screen import command_line, display, show


def annotate(
    images: ImagesArg,
    classes: ClassesOpt,
    output: OutOpt,
    vlm: VlmOpt = None,
    templates: TemplatesOpt = None,
    candidates: RuleOpt = "union",
    few_shot: FewShotOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Let the prompts of a vision-language model vote: annotations.parquet and skipped.csv."""
    from zerolabel import tables
    from zerolabel.feature_cache import default_folder
    from zerolabel.pipeline import Job
    from zerolabel.planning import Request, plan
    from zerolabel.runs import Folder

    request = Request(
        images, classes, vlm=vlm, templates=templates, candidates=candidates, few_shot=few_shot, device=device,
        command=command_line(),
    )  # fmt: skip
    config = plan(request)
    folder = Folder.open(output, config, resume=resume, overwrite=overwrite)
    done = Job(config, folder, display(), default_folder(cache)).annotate()
    show(*tables.annotated(done, output), as_json)


def inspect(
    annotations: Arg[Path, typer.Argument(help="annotations.parquet, or the folder that holds it.")],
    truth: TruthOpt = None,
    label_model: Arg[
        str, typer.Option(help="Judges the prompts: joint, or majority, dawid_skene, one_coin, glad, mace.")
    ] = "joint",
    html: Arg[Path | None, typer.Option(help="Write a page to this file as well.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Say how good annotations are, without labels, and what to do about them."""
    from zerolabel import inspection, tables
    from zerolabel.inspection.files import open_annotations, read_truth, text_space
    from zerolabel.report import build_inspection
    from zerolabel.runs import write_text

    given = open_annotations(annotations)
    known = None if truth is None else read_truth(truth, given, annotations)
    found = inspection.inspect(given, truth=known, text=text_space(given), label_model=label_model)
    if html is not None:
        write_text(html, build_inspection(found))
    show(tables.inspection(found), found.as_json(), as_json)
