"""The command that compares learners."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    AllowChangedOpt,
    AnnotationsArg,
    DeviceOpt,
    EngineOpt,
    EpochsOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    OutOpt,
    PresetOpt,
    PretrainedOpt,
    RayAddressOpt,
    SizeOpt,
    StrongOpt,
    StudentOpt,
    TestOpt,
    TruthOpt,
    engine_of,
)
from zerolabel.cli.screen import command_line, say, show, wide


def compare(
    images: ImagesArg,
    annotations: AnnotationsArg,
    output: OutOpt,
    methods: Arg[str, typer.Option(help="Names separated by commas; `zerolabel learners` lists them.")],
    seeds: Arg[int, typer.Option(min=1, help="Runs per learner, with seeds counted from 0.")] = 3,
    truth: TruthOpt = None,
    test: TestOpt = None,
    test_annotations: Arg[str | None, typer.Option(help="Annotations of --test, for label-free estimates.")] = None,
    preset: PresetOpt = "auto",
    student: StudentOpt = None,
    size: SizeOpt = None,
    pretrained: PretrainedOpt = None,
    epochs: EpochsOpt = None,
    options: Arg[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of the training, or METHOD.NAME=VALUE of one learner; repeatable."),
    ] = None,
    flip: FlipOpt = None,
    strong: StrongOpt = "randaugment",
    device: DeviceOpt = "auto",
    allow_changed: AllowChangedOpt = False,
    choose: Arg[
        bool, typer.Option("--choose", help="Let a person's answers choose: open the review at the end.")
    ] = False,
    answers: Arg[Path | None, typer.Option(help="CSV of file_name,label that answers for the person.")] = None,
    n: Arg[int | None, typer.Option("--n", "-n", min=1, help="Images that --choose asks about (default 50).")] = None,
    jobs: Arg[int, typer.Option(min=1, help="Parallel runs on a machine, which share its cores and devices.")] = 1,
    engine: EngineOpt = "local",
    ray_address: RayAddressOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Compare learners with the same student and budget; finished runs are not repeated."""
    from zerolabel import experiments as comparing
    from zerolabel.cli import planned
    from zerolabel.data.images import ImageSet
    from zerolabel.experiments.plan import options_of
    from zerolabel.runs.request import Request

    wanted = [name.strip() for name in methods.split(",") if name.strip()]
    options_of(Request(images, options=options or (), device=device), wanted)  # before any file is read
    has_pixels = ImageSet.open(images).embeddings is None
    usual = None if preset == "paper" else "light" if has_pixels else "features"
    request = Request(
        images, annotations=str(annotations), options=options or (), student=student or usual, size=size,
        pretrained=pretrained, preset=preset, epochs=epochs, flip=flip, strong=strong, device=device,
        truth=truth, propagate=False, allow_changed=allow_changed, command=command_line(),
    )  # fmt: skip
    comparison = comparing.compare_plan(request, wanted, seeds, test, test_annotations)
    wide(stderr=True).print(planned.plan(next(iter(comparison.configs.values()))))
    total = seeds * len(comparison.configs)
    runs = comparing.run_all(comparison, output, jobs, engine_of(engine, ray_address))
    for done, (name, seed, known) in enumerate(runs, 1):
        say(f"{done}/{total}", f"{name}, seed {seed}{' (done before)' if known else ''}")
    comparing.save(comparing.table(comparison, output), output / "results.parquet")
    if choose or answers is not None:
        choose_by_answers(output, answers, n)
    conclude(output, judged=truth is not None, as_json=as_json)


def conclude(folder: Path, *, judged: bool, as_json: bool) -> None:
    """Write the page of a finished comparison, and print its table with what it is ordered by."""
    import json

    from zerolabel import experiments as comparing
    from zerolabel.files import parquet

    comparing.write_page(folder)
    runs, choice = parquet.read_frame(folder / "results.parquet"), comparing.read_choice(folder)
    show(comparing.shown(comparing.summary(runs, choice)), json.loads(runs.to_json(orient="records")), as_json)
    say("order:", comparing.ordered_by(choice))
    if not judged:
        say("[bold]not checked:[/]", f"to measure a learner, run: zerolabel review {folder} --method NAME")
    if not judged and choice is None:
        say("[bold]not chosen:[/]", f"to choose by a few answers, run: zerolabel review {folder}")


def choose_by_answers(folder: Path, answers: Path | None, n: int | None) -> None:
    """Let a person, or a file of labels, say which learner is best."""
    from zerolabel.cli.review import answer_all, current_user, finished, serve_page
    from zerolabel.review import Review, open_subject

    made = Review(open_subject(folder), n=n)
    if answers is not None:
        answer_all(made, answers, ["choose"])
        say("choice:", finished(made, None))
    else:
        serve_page(made, [current_user()], 0, False, lambda: finished(made, None))
