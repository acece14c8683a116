"""Label-free check of an adapted model."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.diagnostics import alarms, model_selection
from zerolabel.diagnostics.agreement import agreement


@dataclass(frozen=True)
class Check:
    """Label-free comparison of a model before and after adaptation.

    Attributes:
        kept: share of the images that keep their class.
        confidence: mean of the best probability, before and after.
        dispersity: `zerolabel.diagnostics.model_selection.nuclear_norm` of the predictions, before and after; high
            where they are confident and spread over the classes.
        alarms: what `zerolabel.diagnostics.alarms.check` finds wrong with the predictions after.
    """

    kept: float
    confidence: tuple[float, float]
    dispersity: tuple[float, float]
    alarms: tuple[str, ...]

    @property
    def helped(self) -> bool:
        """True if dispersity did not fall and no alarm was raised."""
        return self.dispersity[1] >= self.dispersity[0] and not self.alarms

    @property
    def reason(self) -> str | None:
        """Why the model is left as it was; None where it is not."""
        if self.helped:
            return None
        return " ".join(self.alarms) or "the predictions became less sure, or less spread over the classes."


def check(annotations: Annotations, after: Float[Tensor, "N C"]) -> Check:
    """Compare the predictions of a model after it was adapted with its annotations before."""
    before = annotations.scores
    raised = alarms.check(after.argmax(1), annotations)
    return Check(
        agreement(before.argmax(1), after.argmax(1)),
        (float(before.amax(1).mean()), float(after.amax(1).mean())),
        (model_selection.nuclear_norm(before), model_selection.nuclear_norm(after)),
        tuple(alarm.text.replace("the student", "the adapted model") for alarm in raised),
    )


__all__ = ["Check", "check"]
