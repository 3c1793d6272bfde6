"""The checks of the notebooks' exercises: they say whether an answer is right without telling it."""

from __future__ import annotations

import hashlib
from numbers import Real
from types import EllipsisType


def sealed(exercise: str, answer: str | float) -> str:
    """Eight hex digits of an exercise's answer: a letter in either case, or a number to four significant digits."""
    plain = f"{float(answer):.4g}" if isinstance(answer, Real) else str(answer).strip().lower()
    return hashlib.sha256(f"{exercise}: {plain}".encode()).hexdigest()[:8]


def check(exercise: str, answer: str | float | EllipsisType, right: str) -> None:
    """Print whether an answer is right.

    Parameters
    ----------
    exercise : str
        Number of the notebook and of the exercise, such as ``"04.1"``; so no two right answers look alike.
    answer : str or float or Ellipsis
        The three dots of the starting cell are no answer yet.
    right : str
        What `sealed` makes of the right one.
    """
    if answer is ...:
        print("Not answered yet: put your answer in place of the three dots and run this cell again.")
    elif sealed(exercise, answer) == right:
        print("Right. Unfold the answer to compare your reason with ours.")
    else:
        print("Not this. Try it out, or think again, before you unfold the answer.")
