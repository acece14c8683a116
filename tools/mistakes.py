"""Mistakes of one line that a reader may overlook, each with the tests that must find it."""

from dataclasses import dataclass

LOSSES = ("tests/blocks/test_losses.py", "tests/blocks/test_losses_by_hand.py")
TARGETS = ("tests/blocks/test_targets.py",)
COREG = (
    "tests/golden/test_coreg_step.py",
    "tests/golden/test_coreg_step_bn.py",
    "tests/golden/test_coreg_division.py",
    "tests/golden/test_coreg_schedule.py",
    "tests/learners/test_coreg.py",
)
PARTIAL = (
    "tests/golden/test_proden.py",
    "tests/golden/test_papi.py",
    "tests/golden/test_pico.py",
    "tests/golden/test_crdpll.py",
    "tests/learners/test_partial.py",
)
SEMI = ("tests/learners/test_semi_supervised.py", "tests/golden/test_fixmatch.py")
NOISY = ("tests/learners/test_noisy_by_hand.py", "tests/golden/test_elr.py")
DIVIDED = ("tests/learners/test_divided.py", "tests/golden/test_dividemix.py")
SOLVERS = (
    "tests/adaptation/transduction/test_solvers.py",
    "tests/golden/test_stata.py",
    "tests/golden/test_zlap.py",
    "tests/golden/test_em_dirichlet.py",
    "tests/golden/test_transclip.py",
)
LOOP = ("tests/training/test_loop.py",)
MUST = ("tests/learners/test_adaptation.py", "tests/golden/test_must.py")


@dataclass(frozen=True)
class Mistake:
    """A line and what it is replaced by.

    Attributes:
        name: says what is wrong.
        file: under ``src/zerolabel``.
        old: text that is in the file exactly once.
        new: what takes its place.
        tests: files that must find it.
        only: of pytest's ``-k``; empty runs all tests of the files.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    only: str = ""


MISTAKES = (
    Mistake(
        "losses: sign of the entropy",
        "blocks/losses.py",
        "entropy = -(log_p.exp() * log_p).sum(1)",
        "entropy = (log_p.exp() * log_p).sum(1)",
        LOSSES,
    ),
    Mistake(
        "losses: complement over the candidates",
        "blocks/losses.py",
        ".masked_fill(candidates[rows], 0).sum(1))",
        ".masked_fill(~candidates[rows], 0).sum(1))",
        LOSSES,
    ),
    Mistake(
        "losses: squared error over classes by the mean",
        "blocks/losses.py",
        "mean((p - target).square().sum(1))",
        "mean((p - target).square().mean(1))",
        LOSSES,
    ),
    Mistake(
        "losses: divergence without the target's entropy",
        "blocks/losses.py",
        "torch.special.xlogy(target, target) - target * log_probabilities(logits)",
        "0 * target - target * log_probabilities(logits)",
        LOSSES,
    ),
    Mistake(
        "losses: symmetric divergence about one side",
        "blocks/losses.py",
        "middle = (p + target) / 2",
        "middle = target",
        LOSSES,
    ),
    Mistake(
        "losses: positives of both splits",
        "blocks/losses.py",
        "positive = same & clean[:, None] & others_clean",
        "positive = same & others_clean",
        LOSSES,
    ),
    Mistake(
        "losses: contrast by the sum of the positives",
        "blocks/losses.py",
        ".sum(1)[rows] / count[rows]",
        ".sum(1)[rows]",
        LOSSES,
    ),
    Mistake(
        "losses: early learning pushes away",
        "blocks/losses.py",
        "(1 - (target * p).sum(1)).clamp_min(1e-4).log())",
        "(target * p).sum(1).clamp_min(1e-4).log())",
        LOSSES,
    ),
    Mistake(
        "targets: sharpening by the power T",
        "blocks/targets.py",
        "** (1 / temperature))",
        "** temperature)",
        TARGETS,
    ),
    Mistake(
        "targets: alignment the other way",
        "blocks/targets.py",
        "normalize(part * prior / mean), p)",
        "normalize(part * mean / prior), p)",
        TARGETS,
    ),
    Mistake(
        "targets: the worse component is clean",
        "blocks/targets.py",
        "[:, mixture.means_.argmin()]",
        "[:, mixture.means_.argmax()]",
        TARGETS,
    ),
    Mistake(
        "targets: small loss means large loss",
        "blocks/targets.py",
        "= loss.masked_fill(human, torch.inf).argsort()",
        "= (-loss).masked_fill(human, torch.inf).argsort()",
        TARGETS,
    ),
    Mistake(
        "targets: rectified shares swapped",
        "blocks/targets.py",
        "share * inside + (1 - share) * outside",
        "(1 - share) * inside + share * outside",
        TARGETS,
    ),
    Mistake(
        "targets: Sinkhorn without the prior",
        "blocks/targets.py",
        "normalize(rows * (prior / rows.mean(0)",
        "normalize(rows * (1 / rows.mean(0)",
        TARGETS,
    ),
    Mistake(
        "coreg: own division in place of the peer's",
        "learners/coreg.py",
        "trust * restricted[trusted.index] + (1 - trust) * p_own",
        "(1 - trust) * restricted[trusted.index] + trust * p_own",
        COREG,
    ),
    Mistake(
        "coreg: targets not mixed",
        "learners/coreg.py",
        "own.head(features).float(), mix(target)",
        "own.head(features).float(), target",
        COREG,
    ),
    Mistake(
        "coreg: prototypes of unmixed order",
        "learners/coreg.py",
        "(1 - mix.share, target[mix.order]))",
        "(1 - mix.share, target))",
        COREG,
    ),
    Mistake(
        "coreg: peer in training mode",
        "learners/coreg.py",
        "own.train(), peer.eval()",
        "own.train(), peer.train()",
        COREG,
    ),
    Mistake(
        "coreg: keys of the first strong view",
        "learners/coreg.py",
        "keys = side.keys(own, strong_2)",
        "keys = side.keys(own, strong_1)",
        COREG,
    ),
    Mistake(
        "coreg: division by the worst candidate",
        "learners/coreg.py",
        "(part * among).amax(1), p",
        "(part * among).sum(1), p",
        COREG,
    ),
    Mistake(
        "coreg: unlabeled term without ramp",
        "learners/coreg.py",
        "return self.unlabeled_weight * (min(passed / self.ramp, 1.0) if self.ramp else 1.0)",
        "return self.unlabeled_weight",
        COREG,
    ),
    Mistake(
        "proden: confidence outside the set",
        "learners/proden.py",
        "targets.restrict(p, self.candidates[batch.index])",
        "p",
        PARTIAL,
        only="proden or PRODEN",
    ),
    Mistake(
        "proden: confidence never moves",
        "learners/proden.py",
        "self.confidence[batch.index] = targets",
        "self.confidence[batch.index[:0]] = targets",
        PARTIAL,
        only="proden or PRODEN",
    ),
    Mistake(
        "crdpll: mean of the views in place of the geometric one",
        "learners/crdpll.py",
        "logits.float().log_softmax(2).mean(0).exp()",
        "logits.float().softmax(2).mean(0)",
        PARTIAL,
        only="crdpll or CRDPLL or CR",
    ),
    Mistake(
        "papi: confidence stays",
        "learners/papi.py",
        "inertia * self.confidence[index] + (1 - inertia) * inside",
        "self.confidence[index]",
        PARTIAL,
        only="papi or PaPi",
    ),
    Mistake(
        "pico: inertia swapped",
        "learners/pico.py",
        "inertia * self.confidence[index] + (1 - inertia) * chosen",
        "(1 - inertia) * self.confidence[index] + inertia * chosen",
        PARTIAL,
        only="pico or PiCO",
    ),
    Mistake(
        "fixmatch: pseudo-labels for the weak view",
        "learners/fixmatch.py",
        "losses.cross_entropy(logits[n + m :], goal)",
        "losses.cross_entropy(logits[n : n + m], goal)",
        SEMI,
    ),
    Mistake(
        "elr: memory swapped",
        "learners/elr.py",
        "self.memory * self.running[index] + (1 - self.memory)",
        "(1 - self.memory) * self.running[index] + self.memory",
        NOISY,
    ),
    Mistake(
        "must: doubtful images count",
        "learners/must.py",
        "losses.cross_entropy(logits[sure], targets.one_hot(q[sure].argmax(1), q.shape[1]))",
        "losses.cross_entropy(logits, targets.one_hot(q.argmax(1), q.shape[1]))",
        MUST,
    ),
    Mistake(
        "stata: anchor on the wrong side",
        "adaptation/transduction/stata.py",
        "share * functional.normalize(sums, dim=1) + (1 - share) * texts",
        "(1 - share) * functional.normalize(sums, dim=1) + share * texts",
        SOLVERS,
    ),
    Mistake(
        "transclip: variance by the mean alone",
        "adaptation/transduction/transclip.py",
        "(counts * means.square() - 2 * means * sums)",
        "(counts * means.square() - means * sums)",
        SOLVERS,
    ),
    Mistake(
        "transclip: zero-shot term left out",
        "adaptation/transduction/transclip.py",
        ".add_(log_y, alpha=text_weight)",
        "",
        SOLVERS,
    ),
    Mistake(
        "em_dirichlet: shares are not favored",
        "adaptation/transduction/em_dirichlet.py",
        "weight = classes // 5 if",
        "weight = 1.0 if",
        SOLVERS,
    ),
    Mistake(
        "moon: every image equally sure",
        "adaptation/transduction/moon.py",
        "weights = z * sure[:, None]",
        "weights = z",
        SOLVERS,
    ),
    Mistake(
        "zlap: classes by their cosine",
        "adaptation/transduction/zlap.py",
        "cosine.clamp_min(0) ** gamma",
        "cosine.clamp_min(0)",
        SOLVERS,
    ),
    Mistake(
        "loop: prediction in training mode",
        "training/loop.py",
        "            with fabric.autocast():\n                logits = network(x)",
        "            with fabric.autocast():\n                logits = network.train()(x)",
        LOOP,
    ),
    Mistake(
        "loop: gradients add up",
        "training/loop.py",
        "optimizer.zero_grad(set_to_none=True)",
        "optimizer.param_groups",
        LOOP,
    ),
    Mistake(
        "loop: learning rate of parts forgotten",
        "training/loop.py",
        'rate * group.get("scale", 1.0)',
        "rate",
        LOOP,
    ),
    Mistake(
        "loop: statistics not recomputed at the end",
        "training/loop.py",
        '1_000_003)\n    if settings.statistics == "recomputed" and',
        '1_000_003)\n    if settings.statistics == "never" and',
        LOOP,
    ),
    Mistake(
        "loop: predict_weak_view uses the eval view",
        "training/loop.py",
        'fabric, size, "weak", ranks',
        'fabric, size, "eval", ranks',
        LOOP,
    ),
)
"""Signs, swapped or unmixed targets, wrong views, modes and means, stale predictions."""
