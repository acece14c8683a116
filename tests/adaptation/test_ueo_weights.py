"""UEO's weights by way of every command: the model's own answers before adapting, never spread over neighbors."""

import functools

import pytest
import torch
from scipy.stats import spearmanr

from zerolabel import vlms
from zerolabel.adaptation.fitting import Training
from zerolabel.adaptation.request import Request
from zerolabel.adaptation.task import Task
from zerolabel.annotate import annotate, text_features
from zerolabel.cli import main
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.learners.ueo import UEO
from zerolabel.networks import build

NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """120 real digits."""
    folder = tmp_path_factory.mktemp("pool")
    write_digits(folder)
    names = sorted(path.name for path in (folder / "train").glob("*.png"))[:120]
    (folder / "pool.txt").write_text("".join(f"train/{name}\n" for name in names))
    return folder


def papers(features, texts):
    """Largest softmax of the cosines with the mean text, without the scale."""
    texts = torch.nn.functional.normalize(texts.mean(0), dim=1)
    return (features @ texts.T).softmax(1).amax(1)


@pytest.fixture
def made(monkeypatch):
    """The weights of every UEO that is made."""
    kept = []
    whole = UEO.__init__

    @functools.wraps(whole)  # the command line reads the options off the signature
    def init(self, *arguments, **options):
        whole(self, *arguments, **options)
        kept.append(self.weight.clone())

    monkeypatch.setattr(UEO, "__init__", init)
    return kept


@pytest.mark.parametrize("templates", [("a handwritten {}",), ("{}", "a handwritten {}", "the number {}")])
@pytest.mark.parametrize("propagate", [True, False])
def test_adapt_weighs_by_the_model_s_own_answers(templates, propagate, pool):
    encoder, names = vlms.load("glyphs"), Classes(NAMES)
    done = annotate(ImageSet.open(str(pool / "pool.txt")), encoder, names, templates, cache=pool / "features")
    request = Request.parse("glyphs", "ueo", propagate=propagate)
    found = Training(Task(request, encoder, names, templates, done)).learner.weight
    wanted = papers(torch.as_tensor(done.features), text_features(encoder, names, templates))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert spearmanr(found, wanted).statistic > 0.9999


def of_glyphs(pool):
    encoder, names = vlms.load("glyphs"), Classes(NAMES)
    templates = vlms.templates("glyphs", None)
    done = annotate(ImageSet.open(str(pool / "pool.txt")), encoder, names, templates, cache=pool / "features")
    return papers(torch.as_tensor(done.features), text_features(encoder, names, templates)), done.annotations.scores


@pytest.mark.parametrize("command", ["adapt", "run"])
def test_the_commands_weigh_likewise(command, pool, made, tmp_path):
    both = [pool / "pool.txt", "--classes", ",".join(NAMES), "--vlm", "glyphs", "-o", tmp_path / "out"]
    own = {
        "adapt": ["adapt", *both, "--method", "ueo", "--epochs", 1],
        "run": ["run", *both, "--adapt", "ueo", "--student", "features", "--method", "cc", "--epochs", 1],
    }[command]
    main([str(part) for part in [*own, "--cache", tmp_path / "cache"]])
    torch.testing.assert_close(made[-1], of_glyphs(pool)[0], rtol=0, atol=1e-5)


def test_a_student_of_ueo_gets_the_annotators_own_scores(pool, made, tmp_path, capsys):
    both = [pool / "pool.txt", "--classes", ",".join(NAMES), "--vlm", "glyphs", "-o", tmp_path / "out"]
    own = [
        "--student",
        "features",
        "--method",
        "ueo",
        "--epochs",
        1,
        "--set",
        "scale=1",
        "--cache",
        tmp_path / "cache",
    ]
    main([str(part) for part in ["run", *both, *own]])
    torch.testing.assert_close(made[-1], of_glyphs(pool)[1].amax(1), rtol=0, atol=1e-5)
    with pytest.raises(SystemExit):
        main([str(part) for part in ["run", *both[:-1], tmp_path / "other", *own, "--propagate"]])
    assert "ueo weighs images by the annotators' own scores; leave it out" in " ".join(capsys.readouterr().err.split())


def test_sure_and_unsure_images_stay_apart(make_annotations):
    scores = torch.full((2, 10), 1e-6)
    scores[0, 0], scores[1] = 1 - 9e-6, 0.1 / 9
    scores[1, 0] = 0.9
    annotations = make_annotations(torch.zeros(2, 1, dtype=torch.long), 10, scores=scores)
    weight = UEO(build("linear", 10, 3), annotations, scale=100.0).weight
    # 1 / (1 + 9 (1e-6 / 1)^.01) and 1 / (1 + 9 (.0111 / .9)^.01)
    assert weight.tolist() == pytest.approx([0.113139, 0.104025], abs=1e-5)
