"""The speeds from which `zerolabel run --dry-run` tells what a run costs: written to ``src/zerolabel/runs/costs.json``.

    python -m benchmarks.costs [--only networks learners heads encoders images] [--networks NAMES]

Everything is timed by the processor time of one thread, so that a machine that others use too gives sound figures; what
is not asked for stays as it is in the file. The machine's own speed, a product of matrices by NumPy, is measured beside
it: a forecast scales by the speed that it finds.

- networks: seconds per image of one epoch of distillation, which is one strong view and one step forward and back;
  beside them, which published weights timm knows of each. With ``--networks``, those named alone are timed, and what
  they take is scaled to the speed of the machine that the table holds.
- learners: an epoch of each learner as a multiple of that, in its warm-up and late in its training, on `light`.
- heads: seconds of one epoch of an MLP on features, ``a + steps x b + images x c``, of each learner likewise.
- encoders: multiplications per second of the towers of images and texts, and seconds per image of `glyphs`.
- images: seconds to decode and resize an image, ``a + megapixels x b``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from rich.console import Console
from scipy import optimize

from benchmarks.training_speed import machine
from tools.tiny_clip import full_size, write
from zerolabel import networks, vlms
from zerolabel.data.images import decode
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.learners.base import Epoch, Learner
from zerolabel.runs import presets
from zerolabel.runs.cost import TABLE, encoder_work, gigaflops
from zerolabel.runs.guesses import random_annotations
from zerolabel.training import Source, loop
from zerolabel.training.settings import Settings

NETWORKS = {
    ("light", 32): 64, ("preact_resnet18", 32): 32, ("preact_resnet18", 64): 16, ("resnet18", 128): 32,
    ("resnet18", 224): 16, ("resnet50", 128): 16, ("resnet50", 224): 8, ("mobilenetv3_small_100", 128): 32,
    ("mobilenetv3_large_100", 224): 16, ("efficientnet_b0", 224): 8, ("vit_tiny_patch16_224", 224): 16,
    **{
        (name, size): 4 * 224 // size
        for name in (
            "resnet34", "mobilenetv2_100", "mobilenetv4_conv_small", "efficientnet_lite0", "tf_efficientnetv2_b0",
            "convnext_atto", "convnext_nano", "convnext_tiny", "convnextv2_atto", "regnety_004",
            "deit_tiny_patch16_224", "vit_small_patch16_224", "mobilevit_s", "ghostnet_100", "edgenext_small",
            "densenet121",
        )
        for size in (128, 224)
    },
}  # fmt: skip
"""What is timed, and with how many images a batch."""
CLASSES = tuple(f"class {i}" for i in range(10))
EPOCHS = 20
"""Of the settings; an early epoch and the last one are timed."""


def epoch_seconds(learner: Learner, source: Source, settings: Settings, number: int) -> float:
    """Processor time of one epoch, after the same epoch once: the lower of two."""
    fabric = loop.make_fabric(settings)
    learner = fabric.to_device(learner)
    learner.to(memory_format=torch.channels_last)
    optimizer = fabric.setup_optimizers(loop.make_optimizer(learner, settings))
    epoch = Epoch(number, number / EPOCHS, lambda network: loop.predict_weak_view(network, source, fabric, settings))
    loop.run_epoch(learner, source, epoch, settings, fabric, optimizer)
    times = [seconds(lambda: loop.run_epoch(learner, source, epoch, settings, fabric, optimizer)) for _ in range(2)]
    return min(times)


def seconds(work: Callable[[], object]) -> float:
    """Processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def noise(count: int, size: int) -> Pixels:
    """Images of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return Pixels(pixels, Preprocess(size, (0.5,) * 3, (0.25,) * 3), flip=True)


def made(name: str, student: str, size: int, count: int) -> tuple[Learner, bool]:
    """A learner as the preset for small collections makes it, and whether it has a warm-up."""
    own = presets.small(count, EPOCHS).hyper_parameters.get(name, {})
    has = "warm_up" in hyper_parameters(LEARNERS[name])
    hyper = own | ({"warm_up": EPOCHS // 2} if has else {})
    torch.manual_seed(0)
    return LEARNERS[name](networks.build(student, len(CLASSES), size), random_annotations(CLASSES, count), **hyper), has


def of_networks(precision: str, only: Sequence[str] = ()) -> dict[str, float]:
    """Seconds per image of an epoch of distillation, of all networks or of some."""
    found = {}
    for (name, size), batch in NETWORKS.items():
        if only and name not in only:
            continue
        learner, _ = made("distillation", name, size, 2 * batch)
        settings = Settings(epochs=EPOCHS, batch_size=batch, precision=precision, device="cpu")  # type: ignore[arg-type]
        found[f"{name}@{size}"] = epoch_seconds(learner, noise(2 * batch, size), settings, EPOCHS - 1) / (2 * batch)
        print(name, size, precision, found[f"{name}@{size}"], flush=True)
    return found


def more_networks(table: dict[str, Any], only: Sequence[str]) -> None:
    """Time some networks, and put them beside those of a table as if its machine had timed them."""
    ratio = gigaflops() / table["gigaflops"]
    for precision, speeds in table["networks"].items():
        speeds |= {name: each * ratio for name, each in of_networks(precision, only).items()}


def published() -> dict[str, list[str]]:
    """Names of the weights that timm knows of each of its networks that are timed."""
    names = {name for name, _ in NETWORKS if name not in networks.NAMES}
    return {
        name: [one.partition(".")[2] for one in timm.list_models(f"{name}.*", pretrained=True)]
        for name in sorted(names)
    }


def of_learners() -> dict[str, list[float]]:
    """Early and late epochs, as multiples of distillation's, on `light`."""
    count, size = 128, 32
    source, settings = noise(count, size), Settings(epochs=EPOCHS, batch_size=32, precision="float32", device="cpu")
    times = {}
    for name in LEARNERS:
        times[name] = early_and_late(lambda name=name: made(name, "light", size, count), source, settings)  # type: ignore[misc]
        print(name, times[name], flush=True)
    unit = times["distillation"][1]
    return {name: [one / unit for one in both] for name, both in times.items()}


def of_heads() -> dict[str, list[list[float]]]:
    """Early and late epochs of an MLP on features: seconds of each epoch, step and image."""
    found: dict[str, list[list[float]]] = {}
    cases = ((512, 32), (512, 256), (2048, 256))
    counts = np.array([[1, n / batch, n] for n, batch in cases])
    for name in LEARNERS:
        times = np.array([head_seconds(name, *case) for case in cases])
        found[name] = [optimize.nnls(counts / spent[:, None], np.ones(3))[0].tolist() for spent in times.T]
        print(name, found[name], flush=True)
    return found


def head_seconds(name: str, count: int, batch: int) -> list[float]:
    """Of an early and a late epoch on features."""
    width = 512
    source = Features(torch.nn.functional.normalize(torch.randn(count, width), dim=1))
    settings = Settings(epochs=EPOCHS, batch_size=batch, precision="float32", device="cpu")
    return early_and_late(lambda: made(name, "mlp", width, count), source, settings)


def early_and_late(make: Callable[[], tuple[Learner, bool]], source: Source, settings: Settings) -> list[float]:
    """Seconds of an epoch in the warm-up, where there is one, and of the last."""
    learner, has = make()
    late = epoch_seconds(learner, source, settings, EPOCHS - 1)
    return [epoch_seconds(make()[0], source, settings, 1) if has else late, late]


def of_encoders() -> dict[str, Any]:
    """Billions of multiplications per second of ViT-B/32's towers, by precision."""
    config = full_size("ViT-B-32")
    with tempfile.TemporaryDirectory() as work:
        encoder = vlms.load(write(Path(work) / "vit", config))
    image, text = encoder_work(config) or (0.0, 0.0)
    pixels, texts = torch.randn(64, 3, 224, 224), [f"a photo of a {name}" for name in CLASSES] * 4
    found: dict[str, Any] = {}
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model = encoder.model.to(dtype)
        with torch.inference_mode():
            model.encode_image(pixels[:8].to(dtype))
            spent = seconds(lambda: model.encode_image(pixels.to(dtype)))  # noqa: B023
        found[precision] = 64 * image / spent
        print("image tower", precision, found[precision], flush=True)
    encoder.model.float()
    encoder.encode_texts(texts)
    found["text"] = len(texts) * text / seconds(lambda: encoder.encode_texts(texts))
    glyphs = vlms.load("glyphs")
    digits = [Image.fromarray((np.random.default_rng(i).random((28, 28)) * 255).astype(np.uint8)) for i in range(256)]

    def annotate() -> None:
        glyphs.encode_images(glyphs.normalize(torch.stack([glyphs.pixels(one.convert("RGB")) for one in digits])))

    annotate()
    found["glyphs"] = seconds(annotate) / len(digits)
    return found


def of_images() -> list[float]:
    """Seconds to decode a JPEG and resize it for an encoder: of any, and more per megapixel."""
    encoder_side, times = 224, {}
    for side in (128, 1024):
        coarse = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        buffer = BytesIO()
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        data = buffer.getvalue()

        def one(data: bytes = data) -> None:
            torch.from_numpy(np.array(decode(data).resize((encoder_side, encoder_side), Image.Resampling.BICUBIC)))

        one()
        times[side] = seconds(lambda: [one() for _ in range(20)]) / 20
    slope = (times[1024] - times[128]) / ((1024**2 - 128**2) / 1e6)
    return [times[128] - slope * 128**2 / 1e6, slope]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    measures: dict[str, Callable[[], Any]] = {
        "images": of_images,
        "encoders": of_encoders,
        "learners": of_learners,
        "heads": of_heads,
        "networks": lambda: {precision: of_networks(precision) for precision in ("bfloat16", "float32")},
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=measures, default=tuple(measures), help="what is timed")
    parser.add_argument("--networks", nargs="+", help="of the networks, these alone, beside what is there")
    parser.add_argument("--out", type=Path, default=TABLE, help="JSON file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = json.loads(options.out.read_text()) if options.out.exists() else {}
    table["weights"] = published()
    if options.networks:
        more_networks(table, options.networks)
        options.out.write_text(json.dumps(rounded(table), indent=1) + "\n", encoding="utf-8")
        return
    command = "python -m benchmarks.costs " + " ".join(sys.argv[1:] if arguments is None else arguments)
    facts = {"command": command.strip(), "date": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
    table["gigaflops"], table["machine"] = gigaflops(), facts
    for kind in options.only:
        table[kind] = measures[kind]()
        options.out.write_text(json.dumps(rounded(table), indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {options.out}")


def rounded(value: Any) -> Any:
    """Numbers with three digits, at any depth."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
