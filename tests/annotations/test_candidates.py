import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.annotations.candidates import (
    RULES,
    cumulative_mass,
    parse_rule,
    quantiles,
    ratio,
    rule_or_union,
    soft,
    top_k,
    union_of_votes,
    votes_at_least,
)
from zerolabel.annotations.label_models import posterior
from zerolabel.errors import InputError

N, A, C = 60, 7, 6


@pytest.fixture
def scores():
    values = torch.randn(N, C, generator=torch.Generator().manual_seed(0)).mul(2).softmax(1)
    values[3] = 0
    values[4] = 1 / C
    return values


@pytest.fixture
def votes():
    values = torch.randint(-1, C, (N, A), generator=torch.Generator().manual_seed(1))
    values[3] = -1
    return values


def sets(mask):
    return [{j for j, inside in enumerate(row) if inside} for row in mask.tolist()]


def test_union_against_a_loop(votes):
    assert sets(union_of_votes(votes, C)) == [{v for v in row if v >= 0} for row in votes.tolist()]
    assert union_of_votes(votes[:0], C).shape == (0, C)
    assert not union_of_votes(votes[:, :0], C).any()


@pytest.mark.parametrize("m", [1, 2, 4, A + 1])
def test_votes_against_a_loop(votes, m):
    expected = [{v for v in row if v >= 0 and row.count(v) >= m} for row in votes.tolist()]
    assert sets(votes_at_least(votes, C, m)) == expected
    assert m > 1 or torch.equal(votes_at_least(votes, C, m), union_of_votes(votes, C))
    assert votes_at_least(votes[:0], C, m).shape == (0, C)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("alpha", "beta"), [(0.75, 0.8), (0.6, 0.3), (1.0, 0.01), (0.01, 0.5)])
def test_quantiles_against_a_loop(scores, alpha, beta, dtype):
    rows = scores.tolist()
    spoken = [row for row in rows if any(row)]
    enough = float(torch.tensor([max(row) for row in spoken]).quantile(alpha))
    high = torch.tensor(spoken).quantile(beta, dim=0).tolist()
    expected = []
    for row in rows:
        within, total = set(), 0.0
        for j in sorted(range(C), key=lambda j: (-row[j], j)):
            if total <= enough and row[j] > 0:
                within.add(j)
            total += row[j]
        expected.append({j for j in within if row[j] >= high[j]} if any(row) else set())
    found = sets(quantiles(scores.to(dtype), alpha, beta))
    assert found == expected
    assert any(found) and not all(found), "the rule leaves some images unlabeled, and not all"


@pytest.mark.parametrize("n", [1, 2, 7, 71, 500])
def test_a_class_at_the_quantile_of_its_column_is_in(n):
    """Quantiles are those of `torch.quantile`, to the last bit: one of the values is the quantile, or just below it."""
    values = torch.rand(n, 3, generator=torch.Generator().manual_seed(n)) + 0.1
    for share in (0.01, 0.5, 0.8, 0.99, 1.0):
        flat = values / values.sum(1, keepdim=True).amax() / 2  # no row adds up to what is enough
        enough = torch.cat([flat, torch.tensor([[0.0, 0.0, 1.0]])])
        found, column = quantiles(enough, 1.0, share), enough.quantile(share, dim=0)
        assert torch.equal(found, (enough >= column) & (enough > 0))


def test_quantiles_of_nothing(scores):
    assert quantiles(scores[:0], 0.5, 0.5).shape == (0, C)
    assert not quantiles(torch.zeros(3, C), 0.5, 0.5).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, C, C + 3])
def test_top_k_against_a_loop(scores, k, dtype):
    expected = [set(sorted(range(C), key=lambda j: (-row[j], j))[:k]) if any(row) else set() for row in scores.tolist()]
    assert sets(top_k(scores.to(dtype), k)) == expected


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_ratio_against_a_loop(scores, share):
    expected = []
    for row in scores.double().tolist():
        top = sorted(range(C), key=lambda j: (-row[j], j))[:5]
        expected.append({j for j in top if row[j] >= share * row[top[0]]} if any(row) else set())
    assert sets(ratio(scores.double(), share)) == expected


@pytest.mark.parametrize("mass", [0.2, 0.9, 1.0])
def test_mass_against_a_loop(scores, mass):
    expected = []
    for row in scores.double().tolist():
        chosen, total = set(), 0.0
        for j in sorted(range(C), key=lambda j: (-row[j], j)):
            if total < mass and row[j] > 0:
                chosen.add(j)
            total += row[j]
        expected.append(chosen)
    assert sets(cumulative_mass(scores.double(), mass)) == expected


def test_mass_holds_the_mass_and_no_more(scores):
    chosen = cumulative_mass(scores, 0.8)
    held = (scores * chosen).sum(1)
    smallest = scores.masked_fill(~chosen, 9).min(1).values
    spoken = scores.any(1)
    assert (held[spoken] >= 0.8 - 1e-6).all()
    assert (held - smallest < 0.8 + 1e-6)[spoken].all()


def test_rules_commute_with_a_permutation_of_classes(scores):
    scores = scores[5:]  # without the ties
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for rule in (lambda s: top_k(s, 2), lambda s: ratio(s, 0.3), lambda s: cumulative_mass(s, 0.7), soft):
        assert torch.equal(rule(scores[:, order]), rule(scores)[:, order])


def annotations(votes, scores):
    return Annotations(
        classes=tuple("abcdef"),
        file_names=tuple(map(str, range(N))),
        sha256=("",) * N,
        sizes=torch.ones(N, 2, dtype=torch.long),
        votes=votes,
        scores=scores,
        candidates=torch.zeros(N, C, dtype=torch.bool),
        labels=torch.full((N,), -1),
        annotators=tuple(Annotator("m", "", f"{i} {{}}") for i in range(A)),
        rule="",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("union", lambda v, s: union_of_votes(v, C)),
        ("topk", lambda v, s: top_k(s, 5)),
        ("topk:2", lambda v, s: top_k(s, 2)),
        ("ratio", lambda v, s: ratio(s, 0.5)),
        (" ratio:.25 ", lambda v, s: ratio(s, 0.25)),
        ("mass:0.7", lambda v, s: cumulative_mass(s, 0.7)),
        ("soft", lambda v, s: s.any(1, keepdim=True).expand(N, C)),
        ("votes", lambda v, s: votes_at_least(v, C, 2)),
        ("votes:3", lambda v, s: votes_at_least(v, C, 3)),
        ("quantile", lambda v, s: quantiles(s, 0.75, 0.8)),
        ("quantile:.6,.3", lambda v, s: quantiles(s, 0.6, 0.3)),
        ("posterior", lambda v, s: cumulative_mass(posterior(annotations(v, s)), 0.9)),
        ("posterior:0.6,majority", lambda v, s: cumulative_mass(posterior(annotations(v, s), "majority"), 0.6)),
    ],
)
def test_parsed_rules(votes, scores, text, expected):
    chosen = parse_rule(text)(annotations(votes, scores))
    assert torch.equal(chosen, expected(votes, scores))
    assert not chosen[3].any(), "an image on which nobody voted is unlabeled"


def test_every_named_rule_parses(votes, scores):
    for name in RULES:
        assert parse_rule(name)(annotations(votes, scores)).shape == (N, C)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unoin", "did you mean 'union'"),
        ("", "known: mass, posterior, quantile, ratio, soft"),
        ("topk:0", "whole number"),
        ("topk:two", "whole number"),
        ("topk:1.5", "whole number"),
        ("ratio:0", "above 0"),
        ("ratio:nan", "above 0"),
        ("mass:1.2", "above 0"),
        ("mass:x", "above 0"),
        ("union:3", "takes no value"),
        ("votes:0", "whole number"),
        ("quantile:0.5", "not two numbers"),
        ("quantile:0.5,2", "above 0"),
        ("posterior:2", "above 0"),
        ("posterior:0.9,dawid", "no label model 'dawid'"),
    ],
)
def test_bad_rules(text, message):
    with pytest.raises(InputError, match=message):
        parse_rule(text)


def test_what_is_no_rule_counts_as_union():
    assert rule_or_union("topk:2") == "topk:2"
    assert rule_or_union("cleaned on frozen features") == "union"
    with pytest.raises(InputError, match=r"^--candidates topk:x: 'x' is not"):
        parse_rule("topk:x")
