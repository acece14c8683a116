"""What plans of runs know about learners without importing them: ``python -m tools.learner_facts`` writes it."""

import json
from typing import Any

from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.runs.planning.learner import TABLE


def facts() -> dict[str, dict[str, Any]]:
    """Facts about every learner, see `zerolabel.runs.planning.learner.facts`."""
    return {
        name: {
            "warm_up": hyper_parameters(learner).get("warm_up"),
            "takes_propagated_scores": learner.takes_propagated_scores,
        }
        for name, learner in LEARNERS.items()
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps(facts(), indent=1) + "\n", encoding="utf-8")
