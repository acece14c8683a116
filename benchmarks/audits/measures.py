"""Simulated audits of one cell: answers are given from the truth."""

from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from benchmarks.audits.cells import Cell, unit
from benchmarks.audits.open_pools import OpenPool
from zerolabel.audit import Counts, choice, draw, interval, stratify, teach, unknown
from zerolabel.audit.accuracy import MARGIN, likely_spread, tail
from zerolabel.audit.anytime import evaluations
from zerolabel.audit.choice import Models, Queries
from zerolabel.audit.front import agreement
from zerolabel.audit.quality import guarantee
from zerolabel.audit.versus import undecided
from zerolabel.blocks.label_propagation import propagate
from zerolabel.diagnostics import open_set

Row = dict[str, Any]
ALPHA = 0.05
WIDTHS = 12
"""Audits whose ends are computed, for the width; coverage needs only two tests an audit."""


def strata_of(cell: Cell, model: int) -> np.ndarray:
    """As the review draws them: confidence, and agreement with the other models."""
    predicted = cell.predicted
    others = np.delete(predicted, model, axis=0)
    agree = agreement(predicted[model], others.T) if len(others) else None
    return stratify(cell.confidence[model], agree)


def covers(counts: Counts, right: np.ndarray, alpha: float) -> bool:
    """Whether the interval holds the true number: neither test rejects it.

    Args:
        counts: of the audit.
        right: right predictions of each stratum in the pool. An estimate is covered without a test if
            it is within half the normal quantile of their sum, in standard errors worth two answers or more.
        alpha: chance of a miss that the interval allows.
    """
    seen, total = counts.drawn > 0, int(right.sum())
    if not seen.all():
        found = interval(counts, level=1 - alpha)
        size = counts.sizes.sum()
        return bool(found.low <= total / size <= found.high)
    wrong = counts.sizes - right
    variance = (right * wrong / np.maximum(counts.drawn, 1)).sum()
    step = counts.sizes.sum() / counts.drawn.sum()
    off = abs((counts.sizes * counts.correct / np.maximum(counts.drawn, 1)).sum() - total)
    if variance > (2 * step) ** 2 and off**2 < (norm.isf(alpha / 2) / 2) ** 2 * variance * (
        1 - counts.drawn.sum() / counts.sizes.sum()
    ):
        return True
    return _covers(tuple(counts.sizes), tuple(counts.drawn), tuple(counts.correct), total, alpha)


@cache
def _covers(sizes: tuple[int, ...], drawn: tuple[int, ...], correct: tuple[int, ...], total: int, alpha: float) -> bool:
    size, n, k = np.array(sizes), np.array(drawn), np.array(correct)
    if not k.sum() <= total <= (size - n + k).sum():
        return False
    margin = MARGIN if len(sizes) > 1 else 0.0
    for marked, found in ((total, k), (int(size.sum()) - total, n - k)):
        above = found.sum() < marked and marked < (size * found / n).sum()
        if above and tail(likely_spread(marked, size, n, found), size, n, found) <= (1 - margin) * alpha / 2:
            return False
    return True


def hits(strata: np.ndarray, correct: np.ndarray, n: int, repeats: int) -> list[Counts]:
    """Counts of repeated draws: hypergeometric in each stratum, as `draw` allots them."""
    sizes = np.bincount(strata)
    allotted = np.bincount(strata[draw(strata, n)], minlength=len(sizes))
    random = np.random.default_rng(n)
    right = np.bincount(strata[correct], minlength=len(sizes))
    found = random.hypergeometric(right, sizes - right, allotted, (repeats, len(sizes)))
    return [Counts(sizes, allotted, one) for one in found]


def coverage(cell: Cell, model: int, sizes: tuple[int, ...], repeats: int) -> list[Row]:
    """Coverage and width of the stratified interval and of the plain one, by number of answers."""
    correct = cell.correct[model]
    strata, plain = strata_of(cell, model), np.zeros(len(correct), dtype=np.int64)
    rows = []
    for n in sizes:
        if n > len(correct) // 2:
            continue
        both = {}
        for name, groups in (("stratified", strata), ("plain", plain)):
            drawn, right = hits(groups, correct, n, repeats), np.bincount(groups[correct], minlength=groups.max() + 1)
            both[f"{name}_coverage"] = float(np.mean([covers(one, right, ALPHA) for one in drawn]))
            both[f"{name}_width"] = float(np.mean([interval(one).width for one in drawn[:WIDTHS]]))
        ratio = both["stratified_width"] / both["plain_width"]
        rows.append(
            {"cell": cell.name, "model": cell.models[model], "accuracy": float(correct.mean()), "n": n}
            | both
            | {"ratio": ratio}
        )
    return rows


def anytime_coverage(cell: Cell, model: int, most: int, repeats: int) -> Row:
    """Share of audits whose interval holds the truth at every look up to ``most`` answers."""
    correct, strata = cell.correct[model], strata_of(cell, model)
    planned = evaluations(len(correct))
    looks = [n for n in planned if n <= min(most, len(correct) // 2)]
    alpha = ALPHA / len(planned)
    sizes, random = np.bincount(strata), np.random.default_rng(0)
    right = np.bincount(strata[correct], minlength=len(sizes))
    order = strata[draw(strata, looks[-1])]
    found, before = np.zeros((repeats, len(sizes)), dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    held = np.ones(repeats, dtype=bool)
    for n in looks:
        drawn = np.bincount(order[:n], minlength=len(sizes))
        wrong_left = sizes - right - (before - found)
        found = found + random.hypergeometric(right - found, wrong_left, drawn - before)
        before = drawn
        held &= [covers(Counts(sizes, drawn, one), right, alpha) for one in found]
    last = [Counts(sizes, before, one) for one in found[:3]]
    widths = [[interval(one, level=level).width for one in last] for level in (1 - alpha, 1 - ALPHA)]
    return {
        "cell": cell.name,
        "model": cell.models[model],
        "accuracy": float(correct.mean()),
        "answers": looks[-1],
        "looks": len(looks),
        "coverage": float(held.mean()),
        "width_of_fixed": float(np.mean(widths[0]) / np.mean(widths[1])),
    }


def decide(outcomes: np.ndarray, differing: int) -> tuple[int, int]:
    """Answers until it is decided, and the sign of the decision; 1 where the first is right, -1 the second, else 0.

    Args:
        outcomes: in the order of the answers.
        differing: images on which one of the two could be right.
    """
    first, second = (np.concatenate([[0], np.cumsum(outcomes == sign)]) for sign in (1, -1))
    open_ = undecided(first, second, differing, float(np.log(2 / ALPHA)))
    n = int(open_.argmin())
    return n, int(np.sign(first[n] - second[n]))


def pair(cell: Cell, one: int, other: int, repeats: int) -> Row:
    """Answers that a decision takes where only differing images are queries, and where any are."""
    predicted, correct = cell.predicted, cell.correct.astype(int)
    differ = predicted[one] != predicted[other]
    outcome = correct[one] - correct[other]
    truth = int(np.sign(outcome.sum()))
    used: dict[str, list[int]] = {"differing": [], "random": []}
    wrong = 0
    random = np.random.default_rng(one * 100 + other)
    for _ in range(repeats):
        own = random.permutation(outcome[differ])
        n, sign = decide(own, len(own))
        used["differing"].append(n)
        wrong += sign != truth
        n, _ = decide(random.permutation(outcome), len(outcome))
        used["random"].append(n)
    answers = {name: float(np.mean(values)) for name, values in used.items()}
    return {
        "cell": cell.name,
        "pair": [cell.models[one], cell.models[other]],
        "differing": float(differ.mean()),
        "difference": float(abs(outcome.mean())),
        "answers": answers,
        "share": answers["differing"] / answers["random"] if answers["random"] else 1.0,
        "wrong": wrong / repeats,
    }


def regret_curve(cell: Cell, design: str, budgets: tuple[int, ...], repeats: int, most: int) -> Row:
    """Mean regret after so many answers: the best accuracy less that of the model put first, ties shared."""
    some = np.random.default_rng(0).permutation(len(cell.truth))[:most]
    models, truth = Models(cell.scores[:, some].astype(np.float64)), cell.truth[some]
    accuracy = (models.predicted == truth).mean(1)
    found = {n: [] for n in budgets}  # type: dict[int, list[float]]
    for seed in range(repeats):
        queries, random = Queries.none(), np.random.default_rng(seed)
        for n in range(1, max(budgets) + 1):
            following = choice.ask(models, queries, random, design=design)
            if following is not None:
                queries = queries.with_answer(following[0], int(truth[following[0]]), following[1])
            if n in found:
                score = choice.DESIGNS[design].estimate(models, queries)
                found[n].append(float(accuracy.max() - accuracy[score >= score.max() - 1e-12].mean()))
    return {
        "cell": cell.name,
        "design": design,
        "models": len(accuracy),
        "repeats": repeats,
        "regret": {str(n): float(np.mean(values)) for n, values in found.items()},
    }


def guaranteed(cell: Cell, model: int, max_error: float, calibration: int, repeats: int) -> Row:
    """How often the limit is exceeded, and how many images a person labels."""
    correct, n = cell.correct[model], len(cell.truth)
    uncertainty = 1 - cell.confidence[model] if cell.confidence[model].min() < 1 else disagreement(cell, model)
    calibration = min(calibration, n // 3)
    violated, human = 0, []
    for seed in range(repeats):
        drawn = np.random.default_rng(seed).permutation(n)[:calibration]
        found = guarantee(uncertainty, drawn, correct[drawn], max_error=max_error)
        violated += bool((~correct & ~found.by_hand).mean() > max_error)
        human.append(float(found.by_hand.mean()))
    return {
        "cell": cell.name,
        "model": cell.models[model],
        "accuracy": float(correct.mean()),
        "max_error": max_error,
        "calibration": calibration,
        "violated": violated / repeats,
        "human": float(np.mean(human)),
    }


def disagreement(cell: Cell, model: int) -> np.ndarray:
    """Share of the other models that differ."""
    predicted = cell.predicted
    return 1 - agreement(predicted[model], np.delete(predicted, model, axis=0).T)


def taught(cell: Cell, model: int, n: int, repeats: int) -> Row:
    """Accuracy with n labels, chosen and at random: put in place, and spread over the neighbors as well."""
    some = np.random.default_rng(0).permutation(len(cell.truth))[:2000]
    truth, scores = cell.truth[some], cell.scores[model][some]
    features = unit(cell.features[some]) if cell.features is not None else np.empty((0, 0))
    agree = agreement(cell.predicted[model][some], np.delete(cell.predicted[:, some], model, axis=0).T)
    chosen = teach.batch(features, teach.doubt(cell.confidence[model][some], agree), n)
    drawn = [np.random.default_rng(seed).permutation(len(some))[:n] for seed in range(repeats)]
    none = np.empty(0, dtype=np.int64)
    row: Row = {"cell": cell.name, "model": cell.models[model], "labels": n, "repeats": repeats}
    for name, batches in (("none", [none]), ("chosen", [chosen]), ("random", drawn)):
        both = np.mean([after(scores, features, truth, one) for one in batches], 0)
        row[name] = {"in_place": float(both[0]), "spread": float(both[1])}
    return row


def after(scores: np.ndarray, features: np.ndarray, truth: np.ndarray, labeled: np.ndarray) -> tuple[float, float]:
    """Accuracy with labels in place, and after propagation of these scores."""
    given = scores.copy()
    given[labeled] = np.eye(scores.shape[1], dtype=scores.dtype)[truth[labeled]]
    spread = propagate(torch.from_numpy(given), torch.from_numpy(features)).argmax(1).numpy()
    spread[labeled] = truth[labeled]
    return float((given.argmax(1) == truth).mean()), float((spread == truth).mean())


def rejected(pool: OpenPool, n: int, repeats: int) -> Row:
    """Errors of the measured threshold for unknown classes, its coverage, and the errors of the one without labels."""
    scores, of_unknown, found = pool.scores, pool.unknown, []
    for seed in range(repeats):
        drawn = unknown.draw_low(scores, n, seed=seed)
        one = unknown.threshold(scores, drawn, of_unknown[drawn])
        error = float(((scores < one.score) != of_unknown).mean())
        found.append((error, one.error.low <= error <= one.error.high, one.error.width))
    means = np.mean(np.array(found, dtype=float), 0)
    without = float(((scores < open_set.threshold(torch.from_numpy(scores))) != of_unknown).mean())
    return {
        "cell": pool.name,
        "draw": pool.draw,
        "images": len(scores),
        "unknown": float(of_unknown.mean()),
        "answers": n,
        "repeats": repeats,
        "error": float(means[0]),
        "coverage": float(means[1]),
        "width": float(means[2]),
        "error_without_labels": without,
        "best_error": float(
            min(((scores < cut) != of_unknown).mean() for cut in np.quantile(scores, np.arange(0, 1, 0.01)))
        ),
    }
