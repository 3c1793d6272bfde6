import pytest

from serlib import exercises


@pytest.mark.parametrize(
    ("answer", "right", "said"),
    [
        (..., "a", "Not answered yet"),
        ("b", "a", "Not this"),
        (" A ", "a", "Right"),
        (1664, 1664.0, "Right"),
        (14.2857, 100 / 7, "Right"),
        (14.3, 100 / 7, "Not this"),
        (True, "a", "Not this"),
        ([1], "a", "Not this"),
    ],
)
def test_an_answer_is_judged_without_being_told(answer, right, said, capsys):
    exercises.check("04.1", answer, exercises.sealed("04.1", right))
    printed = capsys.readouterr().out
    assert printed.startswith(said) and str(right) not in printed.removeprefix(said)[: len(str(right)) + 1]


def test_the_same_answer_looks_different_in_another_exercise():
    assert exercises.sealed("04.1", "a") != exercises.sealed("04.2", "a")
