"""What the golden tests of FixMatch and FlexMatch share."""

import torch
from golden_case import load
from golden_noisy import close, mirror

from zerolabel.learners import Learner
from zerolabel.learners.base import Batch


def twelve_steps(file: str, kind: type[Learner], name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    """Losses, masks, thresholds and gradients of every step of a file's case."""
    case = load(file)[name]
    n, n_classes = case["images"].item(), case.weak_logits.shape[2]
    human = torch.cat([torch.full((n,), -1), torch.arange(n_classes)])  # one labeled image of each class
    annotations = make_annotations(torch.full((n + n_classes, 1), -1), n_classes, human)
    learner = kind(mirror(n_classes), annotations, threshold=case.tau)
    for s, index in enumerate(case.index):
        if hasattr(learner, "thresholds"):
            close(learner.thresholds(), case.thresholds[s])
        own, strong = case.labeled_logits[s], case.strong_logits[s].clone().requires_grad_()
        terms = learner.training_step(
            Batch(n + case["labels"][s], (own, own)), Batch(index, (case.weak_logits[s], strong))
        )
        (gradient,) = torch.autograd.grad(terms["unlabeled"], strong)
        close(terms["supervised"], case.supervised[s])
        close(terms["unlabeled"], case.unlabeled[s])
        close(gradient, case.gradient[s])
        assert torch.equal(gradient.abs().sum(1) > 0, case["mask"][s].bool())
