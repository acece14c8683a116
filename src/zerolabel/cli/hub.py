"""Commands that share a classifier through the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import JsonOpt
from zerolabel.cli.screen import show

RepositoryArg = Arg[str, typer.Argument(metavar="ORG/NAME", help="Model repository on the Hugging Face Hub.")]


def push(
    folder: Arg[Path, typer.Argument(help="Folder of a finished run.")],
    repository: RepositoryArg,
    license: Arg[str | None, typer.Option(help="License for the card, such as apache-2.0.")] = None,
    dataset: Arg[list[str] | None, typer.Option(help="Data set for the card, ORG/NAME; repeatable.")] = None,
    annotations: Arg[
        bool, typer.Option("--annotations", help="Also push the annotations as the data set ORG/NAME-annotations.")
    ] = False,
    public: Arg[bool, typer.Option("--public", help="Make a new repository public; by default private.")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Push classifier, ONNX file and model card to the Hugging Face Hub."""
    from dataclasses import asdict

    from zerolabel.cli import planned
    from zerolabel.deployment.hub import push as write

    done = write(folder, repository, license=license, datasets=dataset or (), annotations=annotations, public=public)
    rows = [("pushed", done.url), ("files", ", ".join(done.files))]
    if done.annotations_url is not None:
        rows.append(("annotations", done.annotations_url))
    if license is None:
        rows.append(("license", "none in the card; --license ID names one"))
    show(planned.pairs(rows), asdict(done), as_json)


def pull(
    repository: RepositoryArg,
    output: Arg[Path, typer.Option("--output", "-o", help="New folder, laid out like that of a run.")],
    annotations: Arg[bool, typer.Option("--annotations", help="Also pull the data set ORG/NAME-annotations.")] = False,
    revision: Arg[str | None, typer.Option(help="Branch, tag or commit; by default the newest.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Pull a classifier from the Hugging Face Hub."""
    from zerolabel.cli import planned
    from zerolabel.deployment.hub import pull as read

    files = read(repository, output, annotations=annotations, revision=revision)
    names = [path.relative_to(output).as_posix() for path in files]
    facts = {"path": str(output), "files": names}
    show(planned.pairs([("pulled", str(output)), ("files", ", ".join(names))]), facts, as_json)
