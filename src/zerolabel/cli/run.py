"""The whole job in one command."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    AdaptOpt,
    AnswerTokensOpt,
    BudgetOpt,
    CacheOpt,
    CandidatesOpt,
    ChoicesOpt,
    ClassesOpt,
    ConcurrencyOpt,
    DeployOpt,
    DeviceOpt,
    DryRunOpt,
    EndpointOpt,
    EpochsOpt,
    FewShotOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    KeyOpt,
    MethodOpt,
    OpenSetOpt,
    OutOpt,
    OverwriteOpt,
    PresetOpt,
    PretrainedOpt,
    PriceInOpt,
    PriceOutOpt,
    PropagateOpt,
    RateOpt,
    ResumeOpt,
    RetriesOpt,
    SeedOpt,
    SetAsideOpt,
    SetOpt,
    SideOpt,
    SizeOpt,
    StrongOpt,
    StudentOpt,
    TemplatesOfEachOpt,
    TestOpt,
    TimeoutOpt,
    TruthOpt,
    ViaOpt,
    VlmOpt,
    WeightsOpt,
    given_options,
)
from zerolabel.cli.screen import command_line, display, show, wide


def run(
    images: ImagesArg,
    classes: ClassesOpt,
    output: OutOpt,
    vlm: VlmOpt = None,
    templates: TemplatesOfEachOpt = None,
    candidates: CandidatesOpt = None, prompt_weights: WeightsOpt = None,
    method: MethodOpt = "coreg", preset: PresetOpt = "auto", options: SetOpt = None,
    student: StudentOpt = None, size: SizeOpt = None,
    pretrained: PretrainedOpt = None, adapt: AdaptOpt = None, via: ViaOpt = None, propagate: PropagateOpt = None,
    deploy: DeployOpt = None, open_set: OpenSetOpt = False,
    epochs: EpochsOpt = None,
    truth: TruthOpt = None,
    test: TestOpt = None,
    few_shot: FewShotOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    strong: StrongOpt = "randaugment", set_aside: SetAsideOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    dry_run: DryRunOpt = False,
    endpoint: EndpointOpt = None, api_key_env: KeyOpt = None,
    image_side: SideOpt = None, choices: ChoicesOpt = None, answer_tokens: AnswerTokensOpt = None,
    concurrency: ConcurrencyOpt = None, rate: RateOpt = None, timeout: TimeoutOpt = None, retries: RetriesOpt = None,
    price_in: PriceInOpt = None, price_out: PriceOutOpt = None, budget: BudgetOpt = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Train a small classifier from unlabeled images and class names; write its ONNX file and a report."""
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import tables
    from zerolabel.runs import pipeline
    from zerolabel.runs.cost import estimate
    from zerolabel.runs.folder import Folder
    from zerolabel.runs.planning import plan
    from zerolabel.runs.request import Request
    from zerolabel.runs.workspace import Workspace

    chat = given_options(
        endpoint=endpoint, key_variable=api_key_env, side=image_side, choices=choices,
        answer_tokens=answer_tokens, concurrency=concurrency, per_minute=rate, timeout=timeout, retries=retries,
        price_in=price_in, price_out=price_out, budget=budget,
    )  # fmt: skip
    request = Request(
        images, classes, vlm=vlm, templates=templates, candidates=candidates, prompt_weights=prompt_weights,
        learner=method, options=options or (), student=student, size=size, pretrained=pretrained, adapt=adapt,
        via=via, propagate=propagate,
        deploy=deploy, open_set=open_set, epochs=epochs, seed=seed, flip=flip, strong=strong, device=device,
        set_aside=set_aside,
        truth=truth, test_images=test, few_shot=few_shot, preset=preset, chat=chat, command=command_line(),
    )  # fmt: skip
    config = plan(request)
    if dry_run:
        cost = estimate(config)
        show(tables.plan(config, cost), {**config.to_dict(), "estimate": cost.to_dict()}, as_json)
        return
    workspace = Workspace(Folder(output), display(), default_folder(cache), config.training.device)
    with pipeline.begun(config, workspace, resume=resume, overwrite=overwrite):
        wide(stderr=True).print(tables.plan(config))
        metrics = pipeline.run(config, workspace)
    show(tables.outcome(metrics, output), metrics, as_json)


def demo(
    output: Arg[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("demo"),
    seed: SeedOpt = 0,
    options: SetOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Run the main job on 1,797 real handwritten digits with the built-in model, without a network."""
    from zerolabel.cli.demo_data import write_digits

    whole = output.absolute()
    digits = write_digits(whole.with_name(f"{whole.name}-digits"))
    run(
        str(digits.train), ",".join(digits.classes), output, vlm=["glyphs"], test=str(digits.test),
        truth=str(digits.truth), seed=seed, options=options, resume=resume, overwrite=overwrite, as_json=as_json,
    )  # fmt: skip
