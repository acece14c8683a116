"""What the tests share: one thread, synthetic annotators whose noise is known, small annotations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel import cli
from zerolabel.annotations import Annotations, Annotator


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str, str]]:
    """Run a command here: exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[object, str, str]:
        code: object = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@dataclass(frozen=True)
class World:
    """Points around class centers, the truth that no learner sees, and what noisy annotators say of them."""

    features: Float[Tensor, "N D"]
    truth: Int[Tensor, " N"]
    annotations: Annotations

    @property
    def annotator_accuracy(self) -> float:
        return float((self.annotations.scores.argmax(1) == self.truth).float().mean())


def build_annotations(
    votes: Int[Tensor, "N A"],
    n_classes: int,
    labels: Int[Tensor, " N"] | None = None,
    candidates: Bool[Tensor, "N C"] | None = None,
    scores: Float[Tensor, "N C"] | None = None,
) -> Annotations:
    """Annotations of N made-up images from votes alone: candidates by union, scores by counting."""
    n, n_annotators = votes.shape
    counts = torch.stack([(votes == c).sum(1) for c in range(n_classes)], 1)
    annotations = Annotations(
        classes=tuple(f"class {c}" for c in range(n_classes)),
        file_names=tuple(f"{i}.png" for i in range(n)),
        sha256=tuple(f"{i:064x}" for i in range(n)),
        sizes=torch.full((n, 2), 8),
        votes=votes,
        scores=counts / counts.sum(1, keepdim=True).clamp_min(1) if scores is None else scores,
        candidates=counts > 0 if candidates is None else candidates,
        labels=torch.full((n,), -1),
        annotators=tuple(Annotator("synthetic", "", f"template {a} of {{}}") for a in range(n_annotators)),
        rule="union",
    )
    return annotations if labels is None else annotations.with_labels(labels)


def build_world(
    n: int = 240, n_classes: int = 4, dimension: int = 12, annotators: int = 3, accuracy: float = 0.6
) -> World:
    """Annotators that err independently, each right on `accuracy` of the images and else on a random class."""
    truth = torch.arange(n) % n_classes
    centers = torch.nn.functional.normalize(torch.randn(n_classes, dimension), dim=1)
    features = torch.nn.functional.normalize(centers[truth] + 0.14 * torch.randn(n, dimension), dim=1)
    wrong = (truth[:, None] + torch.randint(1, n_classes, (n, annotators))) % n_classes
    votes = torch.where(torch.rand(n, annotators) < accuracy, truth[:, None], wrong)
    scores = torch.stack([(votes == c).sum(1) for c in range(n_classes)], 1) + 0.1 * torch.rand(n, n_classes)
    return World(features, truth, build_annotations(votes, n_classes, scores=scores / scores.sum(1, keepdim=True)))


@pytest.fixture
def world() -> World:
    return build_world()


@pytest.fixture
def make_annotations() -> Callable[..., Annotations]:
    return build_annotations


@pytest.fixture
def make_world() -> Callable[..., World]:
    return build_world


@dataclass(frozen=True)
class AnnotatedDigits:
    """The 1,797 handwritten digits as the eight prompts of glyphs see them, and their truth."""

    folder: Path
    truth_file: Path
    annotations: Annotations
    truth: Int[Tensor, " N"]


@pytest.fixture(scope="session")
def annotated_digits(tmp_path_factory: pytest.TempPathFactory) -> AnnotatedDigits:
    from zerolabel import vlms
    from zerolabel.annotate import annotate
    from zerolabel.cli.demo_data import write_digits
    from zerolabel.data.classes import Classes
    from zerolabel.data.images import ImageSet
    from zerolabel.data.label_files import Labels
    from zerolabel.vlms.glyphs import TEMPLATES

    digits = write_digits(tmp_path_factory.mktemp("digits"))
    for path in digits.test.iterdir():
        path.rename(digits.train / path.name)
    classes = Classes(digits.classes)
    annotations = annotate(ImageSet.open(digits.train), vlms.load("glyphs"), classes, TEMPLATES).annotations
    truth = Labels.read(digits.truth, classes).match(annotations.file_names, annotations.sha256)
    return AnnotatedDigits(digits.train, digits.truth, annotations, truth)
