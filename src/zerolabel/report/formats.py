"""Numbers as people read them."""

import math

Real = int | float


def percent(share: Real | None, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage; a dash where it is not known."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}%"


def count(n: Real | None) -> str:
    """A whole number with separators; a dash where it is not known."""
    return "–" if n is None else f"{n:,.0f}"


def plural(n: int, noun: str, many: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def duration(seconds: Real) -> str:
    """Seconds as the two largest units that matter."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(n: Real) -> str:
    """Bytes in the largest unit that leaves a digit before the point, powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def magnitude(n: Real | None) -> str:
    """A count of parameters: ``4.2 M``."""
    if n is None:
        return "–"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.1f} {unit}"
    return f"{n:.0f}"


def short(value: Real) -> str:
    """A measured number in at most four characters or so, for axes and logs."""
    if value == 0 or 0.001 <= abs(value) < 10_000:
        return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def signed(difference: Real, digits: int = 0) -> str:
    """A difference with its sign; a plain zero where rounding leaves nothing."""
    text = f"{abs(difference):,.{digits}f}"
    if not text.strip("0.,"):
        return "0"
    return f"{'+' if difference > 0 else '−'}{text}"
