"""Commands that make, change or look at annotations."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    AnnotationsArg,
    AnswerTokensOpt,
    BudgetOpt,
    CacheOpt,
    CandidatesOpt,
    ChoicesOpt,
    ConcurrencyOpt,
    DeviceOpt,
    DryRunOpt,
    EndpointOpt,
    EngineOpt,
    FewShotOpt,
    ImagesArg,
    JsonOpt,
    KeyOpt,
    OutOpt,
    OverwriteOpt,
    PrecisionOpt,
    PriceInOpt,
    PriceOutOpt,
    RateOpt,
    RayAddressOpt,
    ResumeOpt,
    RetriesOpt,
    SideOpt,
    StoreOpt,
    TemplatesOfEachOpt,
    TimeoutOpt,
    TruthOpt,
    VlmOpt,
    WeightsOpt,
    given_options,
)
from zerolabel.cli.screen import command_line, display, show
from zerolabel.errors import InputError

AnnotationsOutOpt = Arg[
    Path, typer.Option("--output", "-o", help="File .parquet to write, or the folder for annotations.parquet.")
]
CandidatesAgainOpt = Arg[
    str | None,
    typer.Option(
        help="union, votes:M, topk:K, ratio:R, mass:M, soft, quantile:A,B or posterior:M,MODEL; by default unchanged."
    ),
]
OverwriteFileOpt = Arg[
    bool, typer.Option("--overwrite", help="Replace existing annotations; the output may be the input.")
]


def annotate(
    images: ImagesArg,
    output: OutOpt,
    classes: Arg[
        str | None,
        typer.Option("--classes", "-c", help="File of class names, or comma-separated names; else those of --append."),
    ] = None,
    vlm: VlmOpt = None,
    templates: TemplatesOfEachOpt = None,
    candidates: CandidatesOpt = None,
    prompt_weights: WeightsOpt = None,
    append: Arg[
        Path | None, typer.Option(help="Annotations or a run to add these annotators and images to.")
    ] = None,
    few_shot: FewShotOpt = None,
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = None, store_features: StoreOpt = None, cache: CacheOpt = None,
    engine: EngineOpt = "local",
    ray_address: RayAddressOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    endpoint: EndpointOpt = None, api_key_env: KeyOpt = None,
    image_side: SideOpt = None, choices: ChoicesOpt = None, answer_tokens: AnswerTokensOpt = None,
    concurrency: ConcurrencyOpt = None, rate: RateOpt = None, timeout: TimeoutOpt = None, retries: RetriesOpt = None,
    price_in: PriceInOpt = None, price_out: PriceOutOpt = None, budget: BudgetOpt = None,
    dry_run: DryRunOpt = False,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Annotate images with the prompts of vision-language models: annotations.parquet and skipped.csv."""
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import tables
    from zerolabel.runs import pipeline
    from zerolabel.runs.folder import Folder
    from zerolabel.runs.planning import plan
    from zerolabel.runs.request import Request
    from zerolabel.runs.stages import annotation
    from zerolabel.runs.stages.training import needs_features
    from zerolabel.runs.workspace import Workspace

    chat = given_options(
        endpoint=endpoint, key_variable=api_key_env, side=image_side, choices=choices,
        answer_tokens=answer_tokens, concurrency=concurrency, per_minute=rate, timeout=timeout, retries=retries,
        price_in=price_in, price_out=price_out, budget=budget,
    )  # fmt: skip
    request = Request(
        images, classes, vlm=vlm, templates=templates, candidates=candidates, prompt_weights=prompt_weights,
        few_shot=few_shot, device=device, append=None if append is None else str(append), chat=chat,
        precision=precision, feature_precision=store_features, command=command_line(),
    )  # fmt: skip
    if append is not None and output.resolve() in (append.resolve(), *append.resolve().parents):
        raise InputError(f"{append} is in the output folder {output}; give -o another one, so that it stays.")
    config = plan(request)
    workspace = Workspace.of(config, Folder(output), display(), default_folder(cache), engine, ray_address)
    if dry_run:
        show(*tables.previewed(config, annotation.preview(config.data, config.annotation, workspace)), as_json)
        return
    with pipeline.begun(config, workspace, resume=resume, overwrite=overwrite):
        features = needs_features(config.training)
        done = annotation.write_annotations(config.data, config.annotation, workspace, features=features)
    show(*tables.annotated(done, output), as_json)


def candidates(
    annotations: AnnotationsArg,
    output: AnnotationsOutOpt,
    candidates: CandidatesAgainOpt = None,
    few_shot: Arg[str | None, typer.Option(help="CSV of file_name,label with human labels to train on.")] = None,
    overwrite: OverwriteFileOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Rebuild candidate sets from stored votes and scores; optionally add human labels."""
    from zerolabel.annotations.candidates import parse_rule
    from zerolabel.annotations.files import open_annotations, with_human_labels, write_annotations
    from zerolabel.cli import tables

    if candidates is None and few_shot is None:
        raise InputError("there is nothing to do; give --candidates, such as votes:2, or --few-shot, or both.")
    build = None if candidates is None else parse_rule(candidates)
    before = open_annotations(annotations)
    after = before if few_shot is None else with_human_labels(before, few_shot, annotations)
    after = after if build is None else after.with_candidates(build(after), str(candidates))
    show(*tables.rebuilt(before, after, write_annotations(after, output, overwrite=overwrite)), as_json)


def merge(
    annotations: Arg[list[Path], typer.Argument(help="Two or more annotations.parquet, or folders that hold one.")],
    output: AnnotationsOutOpt,
    candidates: CandidatesAgainOpt = None,
    overwrite: OverwriteFileOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Merge annotation files; images are matched by content hash."""
    from zerolabel.annotations.candidates import parse_rule
    from zerolabel.annotations.files import open_annotations, write_annotations
    from zerolabel.annotations.merging import merge_all
    from zerolabel.cli import tables

    if len(annotations) < 2:
        raise InputError(f"{annotations[0]} is alone; give two or more annotations to merge.")
    if candidates is not None:
        parse_rule(candidates)
    parts = [open_annotations(path) for path in annotations]
    together = merge_all(parts, [str(path) for path in annotations], candidates)
    show(*tables.merged(parts, together, write_annotations(together, output, overwrite=overwrite)), as_json)


def inspect(
    annotations: AnnotationsArg,
    truth: TruthOpt = None,
    label_model: Arg[
        str,
        typer.Option(
            help="Label model that judges prompts: joint, majority, shrunken, dawid_skene, one_coin, glad or mace."
        ),
    ] = "joint",
    html: Arg[Path | None, typer.Option(help="Also write an HTML page to this file.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Estimate the quality of annotations without labels, and suggest what to improve."""
    from zerolabel.annotations.files import open_annotations, read_truth
    from zerolabel.cli import inspection_tables
    from zerolabel.diagnostics import inspection
    from zerolabel.diagnostics.inspection.text_space import text_space
    from zerolabel.files import write_text, writing
    from zerolabel.report import build_inspection

    given = open_annotations(annotations)
    known = None if truth is None else read_truth(truth, given, annotations)
    found = inspection.inspect(given, truth=known, text=text_space(given), label_model=label_model)
    if html is not None:
        with writing(html.parent):
            html.parent.mkdir(parents=True, exist_ok=True)
            write_text(html, build_inspection(found))
    show(inspection_tables.inspection(found), found.as_json(), as_json)
