"""Co-Reg learners for the golden files: tiny networks that start with the weights of a case."""

from collections.abc import Iterator

import torch
from golden_case import Case
from torch import Tensor, nn

from zerolabel.annotations import Annotations, Annotator
from zerolabel.learners import CoReg
from zerolabel.networks import Network, NetworkSpec


def annotations_of(sets: Tensor) -> Annotations:
    """Images with these candidate sets and nothing else."""
    n, c = sets.shape
    names = tuple(str(i) for i in range(n))
    scores = sets.float() / sets.sum(1, keepdim=True).clamp_min(1)
    return Annotations(
        tuple(f"class {i}" for i in range(c)), names, names, torch.ones(n, 2, dtype=torch.long),
        torch.full((n, 1), -1), scores, sets.bool(), torch.full((n,), -1), (Annotator("given", "", "{}"),), "given",
    )  # fmt: skip


def tiny(case: Case, prefix: str) -> Network:
    """A linear layer, batch normalization where the case has it, and a ReLU, with the weights under a prefix."""
    weight, head = case[f"{prefix}.enc.weight"], case[f"{prefix}.head.weight"]
    norm = [nn.BatchNorm1d(len(weight))] if f"{prefix}.bn.weight" in case else []
    layers = nn.Sequential(nn.Linear(weight.shape[1], len(weight)), *norm, nn.ReLU())
    network = Network(layers, len(weight), NetworkSpec("linear", len(head), weight.shape[1]), pretrained=True)
    put(network_pairs(network, case, prefix))
    return network


def network_pairs(network: Network, case: Case, prefix: str) -> list[tuple[Tensor, Tensor]]:
    """Each weight and running statistic of a tiny network, and what the case has in its place."""
    linear, norm = network.backbone[0], network.backbone[1]
    found = {"enc.weight": linear.weight, "enc.bias": linear.bias}
    found |= {"head.weight": network.head.weight, "head.bias": network.head.bias}
    if isinstance(norm, nn.BatchNorm1d):
        found |= {"bn.weight": norm.weight, "bn.bias": norm.bias}
        found |= {"bn.mean": norm.running_mean, "bn.var": norm.running_var}
    return [(own, case[f"{prefix}.{name}"]) for name, own in found.items()]


def projector_pairs(projector: nn.Sequential, case: Case, prefix: str) -> list[tuple[Tensor, Tensor]]:
    """The same of a projector."""
    names = (("proj1", projector[0]), ("proj2", projector[2]))
    return [
        (getattr(layer, kind), case[f"{prefix}.{name}.{kind}"]) for name, layer in names for kind in ("weight", "bias")
    ]


def put(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Copy what the case has."""
    with torch.no_grad():
        for own, given in pairs:
            own.copy_(given)


def learner_of(case: Case) -> CoReg:
    """A learner amid its co-training, as the case starts; all options are the released code's."""
    sets = torch.ones(case.images, len(case["start.head.weight"]))
    length, embedding = case["start.queue"].shape
    learner = CoReg(tiny(case, "start"), annotations_of(sets), warm_up=0, queue=length, embedding=embedding)
    put(network_pairs(learner.peer, case, "peer") + projector_pairs(learner.side.projector, case, "start"))
    learner.side.start(learner.network)
    queue = learner.side.queue
    put([(queue.keys, case["start.queue"]), (queue.labels, case["start.queue_labels"])])
    put([(queue.clean, case["start.queue_clean"].bool()), (learner.prototypes.vectors, case["start.prototypes"])])
    return learner


def own_rows(case: Case) -> Tensor:
    """Place in our row order, P1 U1 P2 U2, of each row in that of the files, P1 P2 U1 U2."""
    n, m = case.index_p.shape[1], case.index_u.shape[1]
    blocks = (0, n), (n + m, n), (n, m), (2 * n + m, m)
    return torch.cat([torch.arange(start, start + length) for start, length in blocks])


def orders(case: Case) -> Iterator[Tensor]:
    """The permutation of MixUp in each step, in our row order."""
    where = own_rows(case)
    for given in case.order:
        order = torch.empty_like(given)
        order[where] = where[given]
        yield order
