import json

import pytest

from zerolabel.adaptation.methods import METHODS
from zerolabel.cli import listing
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, hyper_parameters


def test_every_learner_says_what_it_does_and_where_it_is_from():
    entries = listing.learners()
    assert [entry.name for entry in entries] == list(LEARNERS)
    for entry in entries:
        assert entry.summary.endswith(".")
        assert len(entry.paper) > 20
        assert "\n" not in entry.summary + entry.paper


@pytest.mark.parametrize("name", LEARNERS)
def test_every_argument_has_its_default_kind_and_meaning(name):
    (entry,) = listing.learners(name)
    assert {one.name: one.default for one in entry.arguments} == hyper_parameters(LEARNERS[name])
    for one in entry.arguments:
        assert one.kind
        assert one.meaning.endswith("."), f"{one.name} is not described"
    json.dumps(entry.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_defaults_and_ranges(name):
    (entry,) = listing.methods(name)
    own = {one.name: one.default for one in entry.arguments}
    assert entry.name == name and METHODS[name].hyper_parameters.items() <= own.items()
    assert all(one.kind and one.meaning.endswith(".") for one in entry.arguments)


def test_ranges_are_printed(call):
    assert "a number from 0 to 1" in " ".join(call("learners", "promix")[1].split())
    code, printed, _ = call("methods", "ueo", "--json")
    kinds = {one["name"]: (one["default"], one["kind"]) for one in json.loads(printed)[0]["arguments"]}
    assert code == 0 and kinds["image_rate"] == (10.0, "a number from 0 to 1,000")
    assert "tip-adapter" in call("methods")[1]


def test_an_unknown_learner():
    with pytest.raises(InputError, match="did you mean 'coreg'"):
        listing.learners("core")
