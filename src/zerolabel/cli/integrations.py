"""Commands that export annotations to other tools and import from them."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import JsonOpt
from zerolabel.cli.screen import show
from zerolabel.integrations import table


def export_labels(
    annotations: Arg[Path, typer.Argument(help="annotations.parquet of the images.")],
    to: Arg[str, typer.Option("--to", help=table.summary())],
    output: Arg[
        Path,
        typer.Option("--output", "-o", help="File to write, or folder for fiftyone; the extension may be left out."),
    ],
    prefix: Arg[str, typer.Option(help="Folder or URL to prepend to image paths.")] = "",
    check: Arg[
        int | None,
        typer.Option(
            min=1, help="Mark a random sample of this size for measuring accuracy; by default that of a review."
        ),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Export votes, scores, candidates and labels for another tool."""
    from zerolabel.annotations import Annotations
    from zerolabel.cli import planned
    from zerolabel.integrations.convert import export_labels as write
    from zerolabel.integrations.sampling import carry
    from zerolabel.review.design import design_of

    found = Annotations.load(annotations)
    design = {name: one for name, one in design_of(annotations, None, check).items() if name in found.file_names}
    output = write(found, to, output, prefix)
    carried = bool(design) and carry(to, output, design)
    facts = {"n_images": len(found), "kind": to, "path": str(output), "n_drawn": len(design) if carried else 0}
    rows = [("images", str(len(found))), (to, table.INTEGRATIONS[to].summary), ("written", str(output))]
    if carried:
        rows.insert(1, ("to measure", f"{len(design)} drawn at random, shown without predictions"))
    show(planned.pairs(rows), facts, as_json)


def import_labels(
    file: Arg[Path, typer.Argument(help="File of another tool.")],
    kind: Arg[str, typer.Option("--from", help=table.summary())],
    output: Arg[Path, typer.Option("--output", "-o", help="annotations.parquet to write; may be that of --into.")],
    into: Arg[Path | None, typer.Option(help="annotations.parquet of the same images.")] = None,
    images: Arg[str | None, typer.Option(help="Images, if there are no annotations yet.")] = None,
    classes: Arg[str | None, typer.Option("--classes", "-c", help="Class names, with --images.")] = None,
    said_by: Arg[
        str, typer.Option("--as", help="What the labels are: person (human labels), or votes (a model's).")
    ] = "person",
    replace: Arg[bool, typer.Option("--replace", help="Discard the existing votes and scores.")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Import votes, scores or human labels from another tool."""
    from zerolabel.cli import planned
    from zerolabel.integrations.convert import import_labels as read
    from zerolabel.integrations.joining import base

    before = base(into, images, classes, replace=replace)
    after = read(before, kind, file, said_by)
    output = output / "annotations.parquet" if output.is_dir() else output
    after.save(output)
    facts = {
        "n_images": len(after),
        "n_annotators": len(after.annotators),
        "n_human": int(after.human.sum()),
        "n_human_before": int(before.human.sum()),
        "path": str(output),
    }
    rows = [
        ("images", str(len(after))),
        ("annotators", f"{len(after.annotators)}, {len(after.annotators) - len(before.annotators)} of them new"),
        ("human labels", f"{facts['n_human']}, {facts['n_human_before']} of them from before"),
        ("written", str(output)),
    ]
    show(planned.pairs(rows), facts, as_json)
