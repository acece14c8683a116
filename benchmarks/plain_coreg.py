"""Co-Reg as a plain loop, to be compared with: correct, float32, one image and one sample at a time.

The algorithm is the one of `zerolabel.learners.coreg` (Wang et al., AAAI 2025, arXiv 2406.18550) with the options
`PRINTED`, without human labels. What differs is how it is written, which is how research code for such methods
usually is: images are augmented one by one on the processor, every view and every split has a forward call of its
own, candidate losses,
prototypes, contrastive masks and division losses are built in loops over samples. The convolutions are the same, in
the default memory layout. Nothing is slowed down on purpose: arithmetic within one sample is vectorized, and no
gradient is kept where none is needed.
"""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.networks import Network

PRINTED = {
    "labeling": "joint",
    "squared_error": "sum",
    "ramp_by": "epoch",
    "alignment": "whole",
    "full_sets": True,
    "floor": 0.0,
}
"""Options of the learner whose steps the loop takes: as the paper prints them."""

Image = np.ndarray  # 3 x S x S, float32 in [0, 1]
Split = tuple[Tensor, list[Tensor]]  # places of images, and their views: weak, weak, strong, strong


def crop(image: Image, flip: bool) -> Image:
    """A window out of the image extended by reflection, mirrored half of the time."""
    size = image.shape[-1]
    padding = (size + 4) // 8
    top, left = np.random.randint(0, 2 * padding + 1, 2)
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
    image = padded[:, top : top + size, left : left + size]
    return image[:, :, ::-1] if flip and np.random.rand() < 0.5 else image


def affine(image: Image, matrix: list[list[float]], shift: tuple[float, float] = (0, 0)) -> Image:
    """One affine map about the middle, bilinear, extending the image by reflection."""
    middle = (image.shape[-1] - 1) / 2
    offset = middle - np.array(matrix) @ np.array([middle, middle]) + np.array(shift)
    return np.stack([ndimage.affine_transform(channel, matrix, offset, order=1, mode="reflect") for channel in image])


def auto_contrast(image: Image) -> Image:
    low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
    return np.where(high > low, (image - low) / np.maximum(high - low, 1e-6), image)


def equalize(image: Image) -> Image:
    levels = (image * 255).astype(np.uint8)
    tables = [np.bincount(channel.ravel(), minlength=256).cumsum() / channel.size for channel in levels]
    return np.stack([table[channel] for table, channel in zip(tables, levels, strict=True)])


def posterize(image: Image, strength: float) -> Image:
    step = 2 ** min(int(strength * 5), 4)
    return np.floor(np.round(image * 255) / step) * step / 255


def distort(image: Image) -> Image:
    """One of RandAugment's 14 distortions, with a random strength."""
    s = np.random.rand()
    both, keep = 2 * s - 1, 0.05 + 0.9 * s
    size, angle = image.shape[-1], both * math.pi / 6
    gray = (image * np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(0, keepdims=True)
    operations: list[Callable[[], Image]] = [
        lambda: affine(image, [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]),
        lambda: affine(image, [[1, 0], [0.3 * both, 1]]),
        lambda: affine(image, [[1, 0.3 * both], [0, 1]]),
        lambda: affine(image, [[1, 0], [0, 1]], (0, 0.3 * both * size)),
        lambda: affine(image, [[1, 0], [0, 1]], (0.3 * both * size, 0)),
        lambda: image,
        lambda: auto_contrast(image),
        lambda: equalize(image),
        lambda: image * keep,
        lambda: np.clip(gray.mean() + keep * (image - gray.mean()), 0, 1),
        lambda: np.clip(gray + keep * (image - gray), 0, 1),
        lambda: np.clip((1 - keep) * ndimage.uniform_filter(image, (0, 3, 3)) + keep * image, 0, 1),
        lambda: posterize(image, s),
        lambda: np.where(image < s, image, 1 - image),
    ]
    return operations[np.random.randint(len(operations))]()


def weak(image: Image, flip: bool = True) -> Tensor:
    """A weak view, normalized to [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray((crop(image, flip) - 0.5) / 0.5, dtype=np.float32))


def strong(image: Image, flip: bool = True) -> Tensor:
    """A weak view, distorted, with a square of up to half the side erased."""
    view = np.ascontiguousarray((distort(crop(image, flip)) - 0.5) / 0.5, dtype=np.float32)
    size = view.shape[-1]
    side, (y, x) = np.random.rand() * size / 2, np.random.rand(2) * size
    rows = slice(max(round(y - side / 2), 0), max(round(y + side / 2), 0))
    view[:, rows, max(round(x - side / 2), 0) : max(round(x + side / 2), 0)] = 0
    return torch.from_numpy(view)


@dataclass
class Side:
    """One network, its projector, their momentum copies, its queue and the division losses of past epochs."""

    network: Network
    projector: nn.Module
    queue: int
    key_network: Network = field(init=False)
    key_projector: nn.Module = field(init=False)
    past: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network, self.projector = deepcopy(self.network), deepcopy(self.projector)
        self.network.to(memory_format=torch.contiguous_format)
        self.keys = torch.zeros(self.queue, self.projector[-1].out_features)  # type: ignore[index]
        self.labels = torch.full((self.queue,), -1)
        self.clean = torch.zeros(self.queue, dtype=torch.bool)
        self.place = 0
        self.reset()

    def reset(self) -> None:
        """Make the momentum copies equal to what they follow."""
        self.key_network = deepcopy(self.network).requires_grad_(False)
        self.key_projector = deepcopy(self.projector).requires_grad_(False)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """One step of the running average, parameter by parameter."""
        for copy, live in ((self.key_network, self.network), (self.key_projector, self.projector)):
            for slow, fast in zip(copy.parameters(), live.parameters(), strict=True):
                slow.data = slow.data * momentum + fast.data * (1 - momentum)

    def push(self, keys: Tensor, labels: Tensor, clean: Tensor) -> None:
        """Write keys into the queue one by one."""
        for key, label, trusted in zip(keys, labels, clean, strict=True):
            self.keys[self.place], self.labels[self.place], self.clean[self.place] = key, label, trusted
            self.place = (self.place + 1) % self.queue


class PlainCoReg:
    """Both networks and one optimizer.

    Args:
        pairs: network and projector of each side; copied.
        candidates: C-wide 0/1 rows, one per image.
        queue: entries of each contrastive queue.
        lr: of SGD, the rest of which is the paper's.
    """

    temperature, threshold, mixup, history = 0.5, 0.5, 4.0, 5
    momentum, prototype_momentum, prototype_temperature, contrast_temperature = 0.999, 0.999, 0.3, 0.07
    ramp, delay, prototype_weight, contrast_weight = 16, 10, 0.1, 0.1

    def __init__(self, pairs: list[tuple[Network, nn.Module]], candidates: Tensor, queue: int, lr: float) -> None:
        self.a, self.b = (Side(network, projector, queue) for network, projector in pairs)
        self.candidates, self.n_classes = candidates, candidates.shape[1]
        self.prototypes = torch.zeros(self.n_classes, self.a.keys.shape[1])
        learned = [p for s in (self.a, self.b) for m in (s.network, s.projector) for p in m.parameters()]
        self.optimizer = torch.optim.SGD(learned, lr, momentum=0.9, weight_decay=5e-4)

    def update(self, terms: dict[str, Tensor]) -> None:
        """One step of the optimizer on the sum of the terms."""
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def warm_up_step(self, own: Side, index: Tensor, views: Tensor) -> dict[str, Tensor]:
        """Partial cross-entropy and negative entropy, image by image."""
        p, total, entropy = own.network(views).softmax(1), torch.zeros(()), torch.zeros(())
        for i in range(len(index)):
            inside = [j for j in range(self.n_classes) if self.candidates[index[i], j]]
            total = total - torch.log(sum(p[i, j] for j in inside))  # type: ignore[arg-type]
            entropy = entropy + (p[i] * torch.log(p[i])).sum()
        return {"warm_up": total / len(index), "entropy": entropy / len(index)}

    @torch.no_grad()
    def predict(self, own: Side, images: list[Image], batch_size: int, flip: bool = True) -> Tensor:
        """Probabilities on one weak view of every image, aligned to a uniform prior."""
        own.network.eval()
        rows = []
        for start in range(0, len(images), batch_size):
            x = torch.stack([weak(image, flip) for image in images[start : start + batch_size]])
            rows += list(own.network(x).softmax(1))
        return self.align(torch.stack(rows))

    def align(self, p: Tensor) -> Tensor:
        """Distribution alignment."""
        ratio = 1 / self.n_classes / p.mean(0)
        return torch.stack([row * ratio / (row * ratio).sum() for row in p])

    def divide(self, own: Side, p: Tensor) -> Tensor:
        """Posterior that the candidate set holds the truth."""
        loss = torch.zeros(len(p))
        for i in range(len(p)):
            loss[i] = -torch.log(max(p[i, j] for j in range(self.n_classes) if self.candidates[i, j]))
        own.past = [*own.past, (loss - loss.min()) / (loss.max() - loss.min())][-self.history :]
        values = torch.stack(own.past).mean(0).double().numpy().reshape(-1, 1)
        mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(values)
        return torch.from_numpy(mixture.predict_proba(values)[:, mixture.means_.argmin()]).float()

    def restrict(self, p: Tensor) -> Tensor:
        """Aligned predictions inside the candidate sets."""
        rows = [row * mask for row, mask in zip(p, self.candidates, strict=True)]
        return torch.stack([row / row.sum() for row in rows])

    def co_step(
        self, own: Side, peer: Side, w: Tensor, restricted: Tensor, since: int, trusted: Split, rest: Split
    ) -> dict[str, Tensor]:
        """One step of one network; `trusted` and `rest` are batches of the two splits."""
        (index, x), (_, u) = trusted, rest
        target, pseudo = self.co_pseudo_labels(own, peer, w, restricted, trusted, rest)
        clean = torch.arange(len(target)) < len(index)
        with torch.no_grad():
            own.follow(self.momentum)
            keys = [F.normalize(own.key_projector(own.key_network.features(v)), dim=1) for v in (x[3], u[3])]
        terms = self.consistency(own, [x[2], u[2], x[3], u[3]], target, clean, since)
        if since > self.delay:
            queries = [F.normalize(own.projector(own.network.features(v)), dim=1) for v in (x[2], u[2])]
            contrast = self.noisy_contrast(own, torch.cat(queries), torch.cat(keys), pseudo, clean)
            terms["contrast"] = self.contrast_weight * contrast
        own.push(torch.cat(keys), pseudo, clean)
        return terms

    @torch.no_grad()
    def co_pseudo_labels(
        self, own: Side, peer: Side, w: Tensor, restricted: Tensor, trusted: Split, rest: Split
    ) -> tuple[Tensor, Tensor]:
        """Targets of both splits and their classes; moves the prototypes too."""
        own.network.train(), peer.network.eval()
        index, x = trusted
        features = [own.network.features(x[k]) for k in (0, 1)]
        p_x = sum(own.network.head(f).softmax(1) for f in features) / 2
        p_u = sum(n.network(rest[1][k]).softmax(1) for n in (own, peer) for k in (0, 1)) / 4
        rows = []
        for i, image in enumerate(index):
            rows.append(w[image] * restricted[image] + (1 - w[image]) * p_x[i])
        rows += list(p_u)
        target = torch.stack([row ** (1 / self.temperature) for row in rows])
        target = torch.stack([row / row.sum() for row in target])
        pseudo = target.argmax(1)
        z = F.normalize(own.projector(features[0]), dim=1)
        for i in range(len(index)):
            c, m = pseudo[i], self.prototype_momentum
            self.prototypes[c] = m * self.prototypes[c] + (1 - m) * z[i]
        for c in set(pseudo[: len(index)].tolist()):
            self.prototypes[c] = F.normalize(self.prototypes[c], dim=0)
        return target, pseudo

    def consistency(
        self, own: Side, views: list[Tensor], target: Tensor, clean: Tensor, since: int
    ) -> dict[str, Tensor]:
        """Label consistency and prototype alignment on MixUp of the four blocks of strong views."""
        share = float(torch.distributions.Beta(self.mixup, self.mixup).sample())
        share = max(share, 1 - share)
        x, target, clean = torch.cat(views), torch.cat([target, target]), torch.cat([clean, clean])
        order = torch.randperm(len(x))
        features = own.network.features(share * x + (1 - share) * x[order])
        log_p, mixed = own.network.head(features).log_softmax(1), share * target + (1 - share) * target[order]
        terms = {
            "consistency": -(mixed[clean] * log_p[clean]).sum(1).mean(),
            "unlabeled": ((log_p[~clean].exp() - mixed[~clean]) ** 2).sum(1).mean() * min((since + 1) / self.ramp, 1),
        }
        if since > self.delay:
            z = F.normalize(own.projector(features), dim=1)
            s = (z @ self.prototypes.T / self.prototype_temperature).log_softmax(1)
            total = torch.zeros(())
            for part, goal in ((share, target), (1 - share, target[order])):
                total = total + part * F.kl_div(s[clean], goal[clean], reduction="batchmean")
                total = total + part * ((s[~clean].exp() - goal[~clean]) ** 2).sum(1).mean()
            terms["prototype"] = self.prototype_weight * total
        return terms

    def noisy_contrast(self, own: Side, queries: Tensor, keys: Tensor, pseudo: Tensor, clean: Tensor) -> Tensor:
        """The contrastive loss, with the masks of one query at a time."""
        others = torch.cat([queries, keys, own.keys])
        labels, trusted = torch.cat([pseudo, pseudo, own.labels]), torch.cat([clean, clean, own.clean])
        total, n = torch.zeros(()), len(queries)
        for i in range(n):
            same = labels == pseudo[i]
            positive = same & trusted if clean[i] else torch.zeros_like(same)
            ignored = (same & ~positive) | (labels < 0)
            positive[i], ignored[i] = False, True
            positive[n + i], ignored[n + i] = True, False
            s = others @ queries[i] / self.contrast_temperature
            log_p = s[positive] - torch.logsumexp(s[~ignored], 0)
            total = total - log_p.mean()
        return total / n

    def co_epoch(self, images: list[Image], since: int, batch_size: int, trusted: list[list[int]]) -> Iterator[int]:
        """One epoch after the warm-up, a number per step.

        Args:
            images: all of them.
            since: epochs since the warm-up.
            batch_size: images of each split in a batch.
            trusted: the partial split of each side, in place of what the division says, so that a comparison
                takes the same steps; empty takes the division's.
        """
        p_a, p_b = (self.predict(side, images, batch_size * 4) for side in (self.a, self.b))
        w_a, w_b = self.divide(self.a, p_a), self.divide(self.b, p_b)
        for i, (own, peer, w, p) in enumerate(((self.a, self.b, w_b, p_b), (self.b, self.a, w_a, p_a))):
            own.reset()
            restricted = self.restrict(p)
            chosen = trusted[i] if trusted else [k for k in range(len(images)) if w[k] > self.threshold]
            rest = sorted(set(range(len(images))) - set(chosen))
            first, second = np.random.permutation(chosen), np.random.permutation(rest)
            for start in range(0, len(first), batch_size):
                batches = [
                    self.load(images, np.take(g, range(start, start + batch_size), mode="wrap"))
                    for g in (first, second)
                ]
                self.update(self.co_step(own, peer, w, restricted, since, *batches))
                yield start

    def load(self, images: list[Image], index: np.ndarray) -> Split:
        """Views of some images, one image at a time."""
        views: list[list[Tensor]] = [[], [], [], []]
        for i in index:
            for made, view in zip(views, (weak, weak, strong, strong), strict=True):
                made.append(view(images[i]))
        return torch.from_numpy(index), [torch.stack(made) for made in views]
