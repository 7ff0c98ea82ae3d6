"""Numbers as a reader wants them: to a hundredth of the margin by which they are judged."""

from __future__ import annotations

import math

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, *, margin: float | None = None, digits: int = 4) -> str:
    """Return a number as text: to a hundredth of its margin where that is legible, else to so many digits.

    Args:
        value: a finite number.
        margin: by which it is judged; None or zero where there is none.
        digits: significant digits where the margin does not tell.

    Example:
        >>> from attnflow.judge.words import number
        >>> number(-1.00321, margin=0.05), number(1234567.0), number(2.2e-16)
        ('−1.0032', '1.235·10⁶', '2.2·10⁻¹⁶')
    """
    decimals = 2 - math.floor(math.log10(margin)) if margin else -1
    text = f"{round(value, decimals) + 0.0:.{decimals}f}" if 0 <= decimals <= 6 else f"{value:.{digits}g}"
    mantissa, _, exponent = text.replace("-", "−").partition("e")
    if not exponent:
        return mantissa
    power = "10" + f"{int(exponent.replace('−', '-'))}".translate(SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def interval(measured: float, *, low: float | None, high: float | None, margin: float) -> str:
    """Return a number with its interval where it has one; one too narrow to be spelled is given by its half width.

    Example:
        >>> from attnflow.judge.words import interval
        >>> interval(1.01, low=0.98, high=1.04, margin=0.05)
        '1.0100 [0.9800, 1.0400]'
        >>> interval(1.0, low=1 - 3e-8, high=1 + 3e-8, margin=0.05)
        '1.0000 ± 3·10⁻⁸'
    """
    if low is None or high is None or low == high:
        return number(measured)
    shown, below, above = (number(value, margin=margin) for value in (measured, low, high))
    return f"{shown} ± {number((high - low) / 2, digits=1)}" if below == above else f"{shown} [{below}, {above}]"
