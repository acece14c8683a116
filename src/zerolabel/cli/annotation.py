"""Commands that make or change annotations."""

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
