"""The command that writes embeddings of images."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import CacheOpt, DeviceOpt, ImagesArg, JsonOpt
from zerolabel.cli.screen import display, show


def embed(
    images: ImagesArg,
    output: Arg[Path, typer.Option("--output", "-o", help="Folder of the embeddings.")],
    vlm: Arg[
        str | None,
        typer.Option(help="glyphs, open_clip:ARCH/PRETRAINED, open_clip:FOLDER, hf-hub:ORG/NAME or timm:MODEL."),
    ] = None,
    dtype: Arg[
        str, typer.Option(help="float32 (same annotations as from the images) or float16 (half the size).")
    ] = "float32",
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    overwrite: Arg[bool, typer.Option("--overwrite", help="Replace the embeddings in the output folder.")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Write the embeddings of images; other commands read them as embeddings:FOLDER, without the images."""
    from functools import partial

    from zerolabel import vlms
    from zerolabel.annotate.embeddings import write_embeddings
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import tables
    from zerolabel.data.images import ImageSet
    from zerolabel.training import best_device
    from zerolabel.training.settings import check_device
    from zerolabel.vlms import vision
    from zerolabel.vlms.names import TIMM

    check_device(device)
    found = ImageSet.open(images)
    name, where = vlm or vlms.default_name(found), best_device(device)
    encoder = vision.load(name, where) if name.startswith(TIMM) else vlms.load_model(name, where)
    assert not isinstance(encoder, vision.EmbeddedVision)
    done = write_embeddings(
        found, encoder, output, dtype=dtype, cache=default_folder(cache), overwrite=overwrite,
        progress=partial(display(), "embed"),
    )  # fmt: skip
    show(*tables.embedded(done), as_json)
