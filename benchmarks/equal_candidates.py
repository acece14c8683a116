"""Options of Co-Reg as its paper has it: the candidates of an image are equal, where the small preset weighs them."""

EQUAL = ("evidence=sets", "entropy_weight=1", "align_batches=false")


def flags(*more: str) -> list[str]:
    """``--set`` for each of them, and for more options."""
    return [part for text in (*EQUAL, *more) for part in ("--set", text)]
