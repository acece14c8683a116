"""The examples in docstrings give what stands beside them."""

import doctest
import importlib
import pkgutil

import pytest

import zerolabel

MODULES = [
    module.name
    for module in pkgutil.walk_packages(zerolabel.__path__, "zerolabel.")
    if module.name.split(".")[1] in ("annotations", "audit", "blocks", "diagnostics", "errors", "evaluation", "options")
]
WITH_EXAMPLES = (
    *("zerolabel.annotations.candidates", "zerolabel.audit.front", "zerolabel.blocks.losses"),
    *("zerolabel.blocks.pseudo_labels", "zerolabel.blocks.targets", "zerolabel.diagnostics.calibration"),
    *("zerolabel.diagnostics.model_selection", "zerolabel.evaluation.class_gains", "zerolabel.options"),
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted or name not in WITH_EXAMPLES
