"""The command that compares learners."""

from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    AllowChangedOpt,
    AnnotationsArg,
    DeviceOpt,
    EpochsOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    OutOpt,
    PresetOpt,
    PretrainedOpt,
    SizeOpt,
    StrongOpt,
    StudentOpt,
    TestOpt,
    TruthOpt,
)
from zerolabel.cli.screen import command_line, say, show, wide


def compare(
    images: ImagesArg,
    annotations: AnnotationsArg,
    output: OutOpt,
    methods: Arg[str, typer.Option(help="Names with commas between; `zerolabel learners` lists them.")],
    seeds: Arg[int, typer.Option(min=1, help="Runs of each learner, with seeds from 0.")] = 3,
    truth: TruthOpt = None,
    test: TestOpt = None,
    test_annotations: Arg[
        str | None, typer.Option(help="Annotations of the images of --test, to judge on them without labels.")
    ] = None,
    preset: PresetOpt = "auto",
    student: StudentOpt = None,
    size: SizeOpt = None,
    pretrained: PretrainedOpt = None,
    epochs: EpochsOpt = None,
    options: Arg[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the training, or METHOD.NAME=VALUE; repeatable.")
    ] = None,
    flip: FlipOpt = None,
    strong: StrongOpt = "randaugment",
    device: DeviceOpt = "auto",
    allow_changed: AllowChangedOpt = False,
    jobs: Arg[int, typer.Option(min=1, help="Runs at a time, in processes that share cores and devices.")] = 1,
    as_json: JsonOpt = False,
) -> None:
    """Compare learners with the same student and budget; finished runs are not repeated."""
    import json

    from zerolabel import experiments as comparing
    from zerolabel.cli import planned
    from zerolabel.files import write_text
    from zerolabel.report.compared import build_comparison
    from zerolabel.runs.request import Request

    usual = None if preset == "paper" else "light"
    request = Request(
        images, annotations=str(annotations), options=options or (), student=student or usual, size=size,
        pretrained=pretrained, preset=preset, epochs=epochs, flip=flip, strong=strong, device=device,
        truth=truth, propagate=False, allow_changed=allow_changed, command=command_line(),
    )  # fmt: skip
    comparison = comparing.compare_plan(request, methods.split(","), seeds, test, test_annotations)
    wide(stderr=True).print(planned.plan(next(iter(comparison.configs.values()))))
    total = seeds * len(comparison.configs)
    for done, (name, seed, known) in enumerate(comparing.run_all(comparison, output, jobs), 1):
        say(f"{done}/{total}", f"{name}, seed {seed}{' (done before)' if known else ''}")
    runs = comparing.table(comparison, output)
    means = comparing.summary(runs)
    comparing.save(runs, output / "results.parquet")
    training = next(iter(comparison.configs.values())).training
    lead = (
        f"{len(comparison.configs)} learners x {seeds} seeds, student {training.student} at {training.size} pixels, "
        "the same training settings for all; each learner draws its own views."
    )
    logs = comparing.first_logs(comparison, output)
    write_text(output / "comparison.html", build_comparison(runs, means, logs, lead, str(output)))
    show(comparing.shown(means), json.loads(runs.to_json(orient="records")), as_json)
    say("order:", comparing.ordered_by())
    if truth is None:
        say("[bold]not checked:[/]", f"to measure a learner, run: zerolabel review {output} --method NAME")
