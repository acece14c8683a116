"""The whole job in one command."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
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
    DevicesOpt,
    DryRunOpt,
    EncoderOpt,
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
    PrecisionOpt,
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
    StoreOpt,
    StrongOpt,
    StudentOpt,
    TemplatesOfEachOpt,
    TestOpt,
    TimeOpt,
    TimeoutOpt,
    TrackOpt,
    TruthOpt,
    ViaOpt,
    VlmOpt,
    WeightsOpt,
    given_options,
    with_devices,
)
from zerolabel.cli.job import execute
from zerolabel.cli.screen import command_line, show

if TYPE_CHECKING:
    from zerolabel.runs.config import Config


def run(
    images: ImagesArg,
    classes: ClassesOpt,
    output: OutOpt,
    vlm: VlmOpt = None,
    encoder: EncoderOpt = None,
    templates: TemplatesOfEachOpt = None,
    candidates: CandidatesOpt = None, prompt_weights: WeightsOpt = None,
    method: MethodOpt = "coreg", preset: PresetOpt = "auto", options: SetOpt = None,
    student: StudentOpt = None, size: SizeOpt = None,
    pretrained: PretrainedOpt = None, adapt: AdaptOpt = None, via: ViaOpt = None, propagate: PropagateOpt = None,
    deploy: DeployOpt = None, open_set: OpenSetOpt = False,
    epochs: EpochsOpt = None, time: TimeOpt = None,
    truth: TruthOpt = None,
    test: TestOpt = None,
    few_shot: FewShotOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    strong: StrongOpt = "randaugment", set_aside: SetAsideOpt = None,
    device: DeviceOpt = "auto",
    devices: DevicesOpt = None,
    precision: PrecisionOpt = None, feature_precision: StoreOpt = None, cache: CacheOpt = None,
    track: TrackOpt = None,
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
    from zerolabel.runs.planning import draft, needs_check
    from zerolabel.runs.request import Request

    chat = given_options(
        endpoint=endpoint, key_variable=api_key_env, side=image_side, choices=choices,
        answer_tokens=answer_tokens, concurrency=concurrency, per_minute=rate, timeout=timeout, retries=retries,
        price_in=price_in, price_out=price_out, budget=budget,
    )  # fmt: skip
    request = Request(
        images, classes,
        vlm=vlm, encoders=encoder or (),
        templates=templates, candidates=candidates, prompt_weights=prompt_weights,
        learner=method, options=with_devices(options, devices),
        student=student, size=size, pretrained=pretrained, adapt=adapt,
        via=via, propagate=propagate,
        deploy=deploy, open_set=open_set, epochs=epochs, time=time, seed=seed, flip=flip, strong=strong, device=device,
        set_aside=set_aside, truth=truth, test_images=test, few_shot=few_shot, preset=preset, chat=chat,
        precision=precision, feature_precision=feature_precision, command=command_line(),
    )  # fmt: skip
    config = draft(request)
    if dry_run:
        _show_plan(config, needs_check(request), as_json)
    else:
        _run(config, output, cache, as_json, track or (), resume=resume, overwrite=overwrite)


def _show_plan(config: "Config", needs_check: bool, as_json: bool) -> None:
    """Print the plan and its cost."""
    from zerolabel.cli import planned
    from zerolabel.runs.cost import forecast
    from zerolabel.runs.planning.recognition import unknown_classes

    if needs_check:
        from zerolabel.runs.planning.checks import check

        check(config)
    expected, doubt = forecast(config), unknown_classes(config.annotation.names, config.data.names)
    facts = {**config.to_dict(), "forecast": expected.to_dict(), "warnings": [] if doubt is None else [doubt]}
    show(planned.costs(config, expected), facts, as_json)


def _run(
    config: "Config", output: Path, cache: Path | None, as_json: bool, track: Sequence[str], *, resume: bool,
    overwrite: bool,
) -> None:  # fmt: skip
    """Check the plan and run it."""
    from zerolabel.cli import planned
    from zerolabel.runs.cost import forecast
    from zerolabel.runs.folder import Folder
    from zerolabel.runs.planning.budget import as_begun
    from zerolabel.runs.planning.checks import check

    if resume and (output / "config.json").is_file():
        config = as_begun(config, Folder(output).config())
    check(config)
    plan = planned.costs(config, forecast(config))
    execute(config, plan, output, cache, resume=resume, overwrite=overwrite, as_json=as_json, track=track)


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
