"""How much of a Co-Reg training step is spent outside its networks, and how much a plain loop would take.

    python -m benchmarks.training_speed [--steps N] [--out benchmarks/results/training_speed.json]
    python -m benchmarks.training_speed --compiled [--out benchmarks/results/compiled.json]

**What is timed** is `zerolabel.training.run_epoch`, the product's own code, on one whole epoch after the warm-up in
which every term of the loss takes part: views, scoring of all images by both networks, alignment, the mixture, the
passes of both networks, momentum copies, queue, prototypes, losses, backward, optimizer. The images are scikit-learn's
digits in color at 32 pixels. The division into partial and unlabeled split is computed as ever and then replaced
by one half each, so that the number of steps is known. An epoch here is `--steps` steps of each network, far fewer
than in a real training, so what happens once an epoch weighs more than it would there.

**Share outside the networks** = 1 - N / T. T is the time of that epoch. N is the time of exactly its calls of the
networks' backbones, heads and projectors, momentum copies included, forward and backward: their inputs, modes and
output gradients are recorded in a first epoch, and the calls are then repeated on these tensors, step by step, first
forward and then backward, in the same precision and memory layout. Epochs and repetitions alternate; the share is the
median over pairs of neighbors.

**Ratio** = seconds of an epoch of `benchmarks.plain_coreg` over seconds of the product's, on the same images, splits
and shapes; they alternate too.

**Compiled** (``--compiled``): the product's epoch as it is and with its networks through `torch.compile`; they
alternate too, and what compilation took is told beside them.

All are given by the clock and by processor time. Waiting threads spin, so on a machine that others use too the
processor time of one thread (``--threads 1``) is the sound one.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain_coreg import PRINTED, PlainCoReg
from zerolabel.annotations import Annotations, Annotator
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.learners.base import Epoch
from zerolabel.learners.coreg import CoReg
from zerolabel.networks import build
from zerolabel.networks.compiled import compiled
from zerolabel.networks.precision import best_precision
from zerolabel.training import loop
from zerolabel.training.settings import Settings

RESULT = Path(__file__).parent / "results" / "training_speed.json"
COMPILED = RESULT.with_name("compiled.json")
HALF = (0.5, 0.5, 0.5)
LATE = 100  # an epoch after the warm-up, the delay and the ramp


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        network: the student's name.
        batch: images of each split in a batch.
        precision: as in `Settings`.
        steps: of each network in an epoch.
        repeats: epochs that are timed.
        plain: whether the plain loop is timed beside it.
        compiled: whether the product with compiled networks is timed beside it, instead of the networks alone.
        queue: entries of each contrastive queue.
        size: side of the images in pixels.
    """

    network: str
    batch: int
    precision: str
    steps: int
    repeats: int
    plain: bool
    queue: int = 8192
    size: int = 32
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.network}, {self.size} px, {self.batch} + {self.batch}, {self.precision}"


@dataclass
class Call:
    """One call of a part of a network, with all that is needed to repeat it."""

    module: nn.Module
    x: Tensor
    grad: bool
    training: bool
    gradient: Tensor | None = None


@dataclass
class Record:
    """The calls of one epoch, in order, in a list for each step."""

    steps: list[list[Call]] = field(default_factory=lambda: [[]])

    def take(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Forward hook: note the call, and its output's gradient once it is known."""
        call = Call(module, inputs[0].detach().clone(), torch.is_grad_enabled(), module.training)
        call.x.requires_grad_(inputs[0].requires_grad)
        self.steps[-1].append(call)
        if output.requires_grad:
            output.register_hook(lambda gradient: setattr(call, "gradient", gradient.clone()))


class Product:
    """Co-Reg as the package trains it."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.case, self.steps = case, 2 * case.steps
        self.annotations, self.pixels = digits(2 * case.batch * case.steps, case.size)
        network = build(case.network, len(self.annotations.classes), case.size)
        self.learner = CoReg(network, self.annotations, warm_up=0, queue=case.queue, **PRINTED)
        self.source = Pixels(self.pixels, Preprocess(case.size, HALF, HALF), flip=False)
        self.settings = Settings(epochs=2 * LATE, batch_size=case.batch, precision=case.precision, device="cpu")  # type: ignore[arg-type]
        self.fabric = loop.make_fabric(self.settings)
        self.learner.to(memory_format=torch.channels_last)
        self.optimizer = self.fabric.setup_optimizers(loop.make_optimizer(self.learner, self.settings))
        self.posterior = torch.where(torch.arange(len(self.annotations)) % 2 == 0, 0.8, 0.2)
        divide = self.learner.divide
        self.learner.divide = lambda p, side: divide(p, side) * 0 + self.posterior  # type: ignore[method-assign]
        self.record = Record()
        with self.recording():
            self.epoch()

    def epoch(self) -> None:
        """One epoch, all of it."""

        def predict(network: nn.Module) -> Tensor:
            return loop.predict(network, self.source, self.fabric, self.case.batch * 4, view="weak")

        epoch = Epoch(LATE, 0.5, predict)
        loop.run_epoch(self.learner, self.source, epoch, self.settings, self.fabric, self.optimizer)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note the calls of the networks inside."""
        step = self.optimizer.step

        def step_and_turn() -> None:
            step()
            self.record.steps.append([])

        handles = [part.register_forward_hook(self.record.take) for part in self.parts()]
        self.optimizer.step = step_and_turn
        yield
        self.optimizer.step = step
        for handle in handles:
            handle.remove()

    def parts(self) -> list[nn.Module]:
        """Backbones, heads and projectors of both networks and of their momentum copies."""
        learner, found = self.learner, []
        for network, side in ((learner.network, learner.side), (learner.peer, learner.peer_side)):
            copy: Any = side.momentum.copy
            found += [network.backbone, network.head, side.projector, copy.network.backbone, copy.projector]
        return found

    def networks_alone(self) -> None:
        """The recorded calls once more, and nothing else."""
        for calls in self.record.steps:
            outputs = []
            with self.fabric.autocast():
                for call in calls:
                    call.module.train(call.training)
                    with torch.set_grad_enabled(call.grad):
                        outputs.append(call.module(call.x))
            wanted = [(y, call.gradient) for y, call in zip(outputs, calls, strict=True) if call.gradient is not None]
            if wanted:
                torch.autograd.backward(*zip(*wanted, strict=True))
            del outputs, wanted
            for call in calls:
                call.x.grad = None
            self.learner.zero_grad(set_to_none=True)


class Plain:
    """The plain loop on the same images and splits."""

    def __init__(self, product: Product) -> None:
        learner = product.learner
        pairs = [(learner.network, learner.side.projector), (learner.peer, learner.peer_side.projector)]
        settings = product.settings
        self.loop = PlainCoReg(pairs, learner.candidates, product.case.queue, settings.lr)
        self.images = [image.astype(np.float32) / 255 for image in product.pixels]
        self.batch = settings.batch_size
        self.trusted = [(product.posterior > 0.5).nonzero().squeeze(1).tolist()] * 2
        self.epoch()

    def epoch(self) -> None:
        """One epoch, all of it."""
        for _ in self.loop.co_epoch(self.images, LATE, self.batch, self.trusted):
            pass


def digits(n: int, size: int) -> tuple[Annotations, np.ndarray]:
    """Real digits in three channels, and made-up annotations of two or three candidates each."""
    raw = torch.from_numpy(load_digits().images).float()[torch.arange(n) % 1797, None] / 16 * 255
    pixels = F.interpolate(raw, (size, size), mode="bilinear").round().byte().expand(n, 3, size, size).contiguous()
    votes = torch.randint(10, (n, 3), generator=torch.Generator().manual_seed(0))
    candidates = F.one_hot(votes, 10).any(1)
    annotations = Annotations(
        classes=tuple("0123456789"),
        file_names=tuple(f"{i}.png" for i in range(n)),
        sha256=tuple(f"{i:064x}" for i in range(n)),
        sizes=torch.full((n, 2), size),
        votes=votes,
        scores=candidates / candidates.sum(1, keepdim=True),
        candidates=candidates,
        labels=torch.full((n,), -1),
        annotators=tuple(Annotator("made up", "", f"template {a} of {{}}") for a in range(3)),
        rule="union",
    )
    return annotations, pixels.numpy()


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and seconds of processor time over all threads."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def measure(case: Case) -> dict[str, Any]:
    """The figures of one case: medians over its repeats, and every time they come from."""
    product = Product(case)
    answer, works = {**asdict(case), "steps_in_an_epoch": product.steps}, {"epoch": product.epoch}
    with ExitStack() as stack:
        if case.compiled:
            other = Product(case)
            stack.enter_context(compiled(other.learner))
            answer["seconds_to_compile"] = timed(other.epoch)[0] - timed(product.epoch)[0]
            works["compiled"] = other.epoch
        else:
            product.networks_alone()  # takes its memory; the others ran once already
            works["networks"] = product.networks_alone
        if case.plain:
            works["plain"] = Plain(product).epoch
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(case.repeats):
            for name, work in works.items():
                times[name].append(timed(work))
    for i, clock in enumerate(("wall", "processor")):
        answer[clock] = figures({name: [both[i] for both in many] for name, many in times.items()}, product)
    return answer


def figures(seconds: dict[str, list[float]], product: Product) -> dict[str, Any]:
    """Medians; ratios are taken between times that were measured next to each other."""

    def median_of(ratio: Callable[[float, float], float], first: str, second: str) -> float:
        return statistics.median(ratio(*pair) for pair in zip(seconds[first], seconds[second], strict=True))

    found = {
        "seconds_per_step": statistics.median(seconds["epoch"]) / product.steps,
        "steps_per_second": product.steps / statistics.median(seconds["epoch"]),
    }
    if "networks" in seconds:
        found["share_outside_networks"] = median_of(lambda whole, inside: 1 - inside / whole, "epoch", "networks")
    if "compiled" in seconds:
        found["times_faster_compiled"] = median_of(lambda slow, fast: slow / fast, "epoch", "compiled")
    if "plain" in seconds:
        found["plain_steps_per_second"] = product.steps / statistics.median(seconds["plain"])
        found["times_faster_than_plain"] = median_of(lambda slow, fast: slow / fast, "plain", "epoch")
    return {**found, "seconds": seconds}


def cases(steps: int, repeats: int, batches: list[int]) -> list[Case]:
    """Each batch size in both precisions; the plain loop only beside the smallest, it takes long."""
    return [
        Case("preact_resnet18", batch, precision, steps, repeats, batch == min(batches))
        for batch in batches
        for precision in ("bfloat16", "float32")
    ]


def compiled_cases(steps: int, repeats: int, batches: list[int]) -> list[Case]:
    """The default student and the paper's network, as they are and compiled, in the precision of this processor."""
    return [
        Case(network, min(batches), best_precision("cpu"), steps, repeats, False, compiled=True)
        for network in ("light", "preact_resnet18")
    ]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16_in_hardware": best_precision("cpu") == "bfloat16",
        "load_at_start": os.getloadavg()[0],
        "system": platform.platform(terse=True),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


RATIOS = {
    "share_outside_networks": ("outside networks", "{:.1%}"),
    "times_faster_than_plain": ("plain / zerolabel", "{:.2f}"),
    "times_faster_compiled": ("as it is / compiled", "{:.2f}"),
}


def table(results: list[dict[str, Any]]) -> Table:
    """Two rows a case: by the clock, and by processor time."""
    shown = Table("network", "batch", "precision", "time", "s / step", *(title for title, _ in RATIOS.values()))
    for one in results:
        for clock in ("wall", "processor"):
            of = one[clock]
            ratios = (form.format(of[name]) if name in of else "-" for name, (_, form) in RATIOS.items())
            batch = f"{one['batch']} + {one['batch']}"
            shown.add_row(one["network"], batch, one["precision"], clock, f"{of['seconds_per_step']:.2f}", *ratios)
    return shown


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1, help="of each network in an epoch (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="epochs that are timed (default 3)")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256], help="images of each split in a batch")
    parser.add_argument("--compiled", action="store_true", help="compare compiled networks instead")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--threads", type=int, help="of torch; one gives processor times that others cannot disturb")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console()
    command = "python -m benchmarks.training_speed " + " ".join(sys.argv[1:] if arguments is None else arguments)
    report: dict[str, Any] = {
        "command": command.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": machine(),
        "results": [],
    }
    make, usual = (compiled_cases, COMPILED) if options.compiled else (cases, RESULT)
    out: Path = options.out or usual
    out.parent.mkdir(parents=True, exist_ok=True)
    for case in make(options.steps, options.repeats, options.batches):
        console.print(f"measuring {case} ...")
        report["results"].append(measure(case))
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    console.print(table(report["results"]))
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
