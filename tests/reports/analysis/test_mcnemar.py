from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from bench.core.errors import UserError
from bench.core.records.predictions import Predictions
from reports.analysis.mcnemar import mcnemar, of_right


def pair(first: int, second: int, both: int = 5) -> tuple[np.ndarray, np.ndarray]:
    a = np.array([True] * first + [False] * second + [True] * both)
    b = np.array([False] * first + [True] * second + [True] * both)
    return a, b


@pytest.mark.parametrize(("first", "second"), [(1, 9), (9, 1), (0, 6), (12, 20), (3, 4)])
def test_it_is_the_exact_test_less_half_of_what_was_observed(first: int, second: int) -> None:
    found = of_right(*pair(first, second))
    exact = binomtest(first, first + second).pvalue
    assert found.p == pytest.approx(exact - binom.pmf(first, first + second, 0.5))
    assert (found.first, found.second) == (first, second)


def test_no_difference_is_no_evidence() -> None:
    assert of_right(*pair(4, 4)).p == pytest.approx(1.0) and of_right(*pair(0, 0)).p == 1.0


def test_predictions_of_different_test_sets_are_not_paired() -> None:
    def of(test_set: str, images: int = 4) -> Predictions:
        zeros = np.zeros(images, int)
        return Predictions.of(test_set, 2, zeros, zeros, zeros, zeros)

    assert mcnemar(of("a"), of("a")).p == 1.0
    for other in (of("b"), of("a", 5)):
        with pytest.raises(UserError, match="different test sets"):
            mcnemar(of("a"), other)
