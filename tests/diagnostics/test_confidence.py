"""Confidences of several models are brought to one scale, so that the boldest does not lead their mean."""

from dataclasses import replace

import pytest
import torch
from reference import reference

from zerolabel.annotations.merging import merge_all
from zerolabel.diagnostics.confidence import comparable_scores


def right(annotations, truth):
    return float((annotations.scores.argmax(1) == truth).float().mean())


@pytest.mark.parametrize("models", [range(6), (0, 1, 2, 6, 7), (2, 4, 9, 15), range(14, 19), range(19)])
def test_real_models_of_several_families(models):
    """CLIP, SigLIP, Gemini and GPT on paintings: the mean of comparable scores beats that of the scores as stated."""
    reference("data/real_vlm/saints_artdl_vlm_probs.npz")
    from benchmarks.real_vlm.data import saints

    paintings = saints()
    parts = [paintings.some((model,)) for model in models]
    names = [f"model {model}" for model in models]
    made = comparable_scores(parts, names)
    assert right(merge_all(made, names), paintings.labels) > right(merge_all(parts, names), paintings.labels)
    for before, after in zip(parts, made, strict=True):
        heard = before.scores.any(1)
        assert torch.equal(heard, after.scores.any(1)) and torch.equal(before.votes, after.votes)
        assert torch.equal(before.scores[heard].argmax(1), after.scores[heard].argmax(1))


def test_a_bold_poor_model_does_not_lead(make_annotations):
    torch.manual_seed(0)
    truth = torch.randint(0, 5, (600,))

    def votes(accuracy, count):
        wrong = (truth[:, None] + torch.randint(1, 5, (600, count))) % 5
        return torch.where(torch.rand(600, count) < accuracy, truth[:, None], wrong)

    def model(name, accuracy, count):
        made = make_annotations(votes(accuracy, count), 5)
        return replace(made, annotators=tuple(replace(one, model=name) for one in made.annotators))

    bold, good, other = model("bold", 0.35, 1), model("good", 0.85, 3), model("other", 0.6, 2)
    bold = bold.with_scores(torch.nn.functional.one_hot(bold.votes[:, 0], 5).float())
    good = good.with_scores((0.3 * torch.nn.functional.one_hot(good.votes.mode(1).values, 5)).softmax(1))
    names, parts = ["bold", "good", "other"], [bold, good, other]
    made = comparable_scores(parts, names)
    shares = [float(one.scores.amax(1).mean()) for one in made]
    assert shares[0] < 0.6 < shares[1]
    assert right(merge_all(made, names), truth) > right(merge_all(parts, names), truth)
    assert comparable_scores(parts[:2], names[:2]) == parts[:2]
