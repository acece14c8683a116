"""FlexMatch against twelve steps of TorchSSL (TorchSSL/TorchSSL @ f26e1d4)."""

import pytest
from golden_matching import twelve_steps

from zerolabel.learners.flexmatch import FlexMatch


@pytest.mark.parametrize("name", ["c5", "c10", "c47"])
def test_twelve_steps(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    twelve_steps("flexmatch", FlexMatch, name, make_annotations)
