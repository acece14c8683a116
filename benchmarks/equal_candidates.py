"""Options of Co-Reg as its paper has it: the candidates of an image are equal, where the small preset weighs them."""

EQUAL = ("evidence=sets", "entropy_weight=1", "align_batches=false")


def flags() -> list[str]:
    """``--set`` for each of them."""
    return [part for text in EQUAL for part in ("--set", text)]
