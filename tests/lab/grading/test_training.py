"""What a measurement is held against: one of its runs, made again."""

import pytest
from airbench_lab.grading import made_again


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        ([0.3, 0.1, 0.4], "points, and yours 0"),
        ([float("nan")] * 3, "yours nan"),
        ([5], "no measurements"),
        (None, "no measurements"),
        (..., "no measurements"),
    ],
)
def test_what_was_not_measured_is_found(claimed, said):
    with pytest.raises(AssertionError, match=said):
        made_again(claimed, 7, lambda seed: -1.0)


def test_what_was_measured_agrees_for_each_of_the_first_three_seeds():
    asked = set()
    for _ in range(60):
        made_again([7.0, 8.0, 9.0, None], 7, lambda seed: asked.add(seed) or float(seed))
    assert asked == {7, 8, 9}
