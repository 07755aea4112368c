"""Each measure against an independent computation, on arrays: no network."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment, minimize
from scipy.stats import multivariate_normal, wasserstein_distance
from sklearn.covariance import LedoitWolf

from bench.core.schema import MEASURES, Measure
from bench.similarity.emd import GAMMA, class_means, emd, emd_similarity
from bench.similarity.features import Features
from bench.similarity.frechet import frechet, standardised
from bench.similarity.hscore import h_score
from bench.similarity.leep import leep
from bench.similarity.logme import logme
from bench.similarity.measures import NO_SOURCE, measure
from bench.similarity.probe import knn_accuracy, probe_accuracy


def blobs(n: int, d: int, k: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, d] of k Gaussian classes whose means are `apart` standard deviations from the origin."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    means = rng.normal(size=(k, d))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    return means[y] + rng.normal(size=(n, d)), y


def numerical_evidence(f: np.ndarray, y: np.ndarray) -> float:
    """max over (alpha, beta) of ln N(y; 0, F F^T / alpha + I / beta) / N, by Nelder and Mead on the N x N kernel."""
    gram = f @ f.T
    spread, axes = np.linalg.eigh(gram)
    along = (axes.T @ y) ** 2

    def negative(log: np.ndarray) -> float:
        variance = np.exp(-log[0]) * spread.clip(0) + np.exp(-log[1])
        return float(0.5 * np.mean(np.log(2 * np.pi * variance) + along / variance))

    starts = [np.array([a, b]) for a in (0.0, 5.0) for b in (0.0, 3.0)]
    best = min((minimize(negative, s, method="Nelder-Mead") for s in starts), key=lambda found: found.fun)
    covariance = np.exp(-best.x[0]) * gram + np.exp(-best.x[1]) * np.eye(len(y))
    assert multivariate_normal(cov=covariance).logpdf(y) / len(y) == pytest.approx(-best.fun, abs=1e-6)
    return -best.fun


@pytest.mark.parametrize(("n", "d", "apart"), [(60, 5, 3.0), (40, 12, 0.5), (30, 80, 4.0)])
def test_logme_is_the_maximal_evidence(n: int, d: int, apart: float) -> None:
    f, y = blobs(n, d, 3, apart)
    expected = np.mean([numerical_evidence(f, (y == k).astype(float)) for k in range(3)])
    assert logme(f, y) == pytest.approx(expected, abs=1e-4)


def test_logme_with_fewer_images_than_features_is_not_the_known_wrong_number() -> None:
    """N = 200, D = 2048, labels at random: -1.07 nats, what y's own spread gives. Dropping (D - N)/2 ln alpha: 37."""
    f, y = np.random.default_rng(0).normal(size=(200, 2048)), np.arange(200) % 2
    found = logme(f, y)
    assert found == pytest.approx(-1.07, abs=0.01)
    assert found == pytest.approx(np.mean([numerical_evidence(f, (y == k) * 1.0) for k in (0, 1)]), abs=1e-3)


def test_leep_by_hand() -> None:
    """Two images of class 0, one of class 1; two source classes."""
    theta = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    given = np.array([[1.5 / 1.7, 0.5 / 1.3], [0.2 / 1.7, 0.8 / 1.3]])  # P(y | z)
    likelihood = [0.9 * given[0, 0] + 0.1 * given[0, 1], 0.6 * given[0, 0] + 0.4 * given[0, 1]]
    likelihood.append(0.2 * given[1, 0] + 0.8 * given[1, 1])
    assert leep(theta, np.array([0, 0, 1])) == pytest.approx(np.mean(np.log(likelihood)))


def test_leep_is_zero_where_source_classes_are_target_classes_and_the_base_rate_where_they_say_nothing() -> (
    None
):
    y = np.array([0, 1, 1, 2])
    assert leep(np.eye(5)[y], y) == pytest.approx(0)  # two source classes never occur
    entropy = -(0.25 * np.log(0.25) * 2 + 0.5 * np.log(0.5))
    assert leep(np.full((4, 6), 1 / 6), y) == pytest.approx(-entropy)


def test_h_score_is_the_trace_of_its_definition() -> None:
    """Between-class and total covariance as matrices over images, shrinkage from scikit-learn's estimator class."""
    f, y = blobs(300, 6, 4, 2.0)
    fitted = LedoitWolf().fit(f)
    conditional = np.stack([f[y == k].mean(0) for k in range(4)])[y]  # E[f | y], one row per image
    between = np.cov(conditional, rowvar=False, bias=True)
    expected = np.trace(np.linalg.inv(fitted.covariance_) @ ((1 - fitted.shrinkage_) * between))
    assert h_score(f, y) == pytest.approx(expected)


def test_h_score_has_a_closed_form_for_well_separated_classes() -> None:
    """Two classes at +-a along one axis, unit noise: a^2 / (1 + a^2) with many images; noise classes: near 0."""
    rng = np.random.default_rng(0)
    y = np.arange(40_000) % 2
    f = rng.normal(size=(len(y), 3))
    f[:, 0] += np.where(y, 2.0, -2.0)
    assert h_score(f, y) == pytest.approx(4 / 5, abs=0.01)
    assert h_score(rng.normal(size=(len(y), 3)), y) == pytest.approx(0, abs=1e-3)


def test_h_score_of_few_images_does_not_saturate() -> None:
    """Unshrunk, any 20 images in 100 dimensions score K - 1."""
    f, y = np.random.default_rng(0).normal(size=(20, 100)), np.arange(20) % 4
    assert 0 < h_score(f, y) < 1.5
    f[:, 7] = 3.0  # a channel that never moves
    assert np.isfinite(h_score(f, y))


def test_emd_of_known_transports() -> None:
    a, b = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    assert emd(a, np.array([7.0]), b, np.array([1.0])) == pytest.approx(5)
    rng = np.random.default_rng(0)
    x, y, u, v = rng.normal(size=9), rng.normal(size=5), rng.random(9), rng.random(5)
    assert emd(x[:, None], u, y[:, None], v) == pytest.approx(wasserstein_distance(x, y, u, v))
    p, q = rng.normal(size=(8, 6)), rng.normal(size=(8, 6))
    cost = np.linalg.norm(p[:, None] - q[None], axis=-1)  # of equal weights, the transport is an assignment
    expected = cost[linear_sum_assignment(cost)].mean()
    assert emd(p, np.ones(8), q, np.ones(8)) == pytest.approx(expected)


def test_emd_similarity_weighs_class_means_by_their_images() -> None:
    f, y = blobs(90, 5, 3, 3.0)
    assert emd_similarity(f, y, f, y) == pytest.approx(1, abs=1e-9)
    means, counts = class_means(f[:70], y[:70])
    assert counts.tolist() == [24, 23, 23] and means[1] == pytest.approx(f[:70][y[:70] == 1].mean(0))
    assert emd_similarity(f, y, f + 10.0, y) == pytest.approx(np.exp(-GAMMA * 10 * np.sqrt(5)))


def test_frechet_agrees_with_the_matrix_root_and_takes_fewer_images_than_features() -> None:
    a, b = blobs(400, 7, 3, 2.0)[0], 1.5 * blobs(300, 7, 2, 1.0, seed=1)[0] + 0.3
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(ca @ cb))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * root)
    assert frechet(a, b) == pytest.approx(expected)
    few = blobs(20, 50, 2, 1.0)[0]
    assert frechet(few, few) == pytest.approx(0, abs=1e-9)
    assert frechet(few, few + 1) == pytest.approx(50)


def test_standardised_distances_ignore_the_scale_of_channels() -> None:
    a, b = blobs(200, 4, 2, 2.0)[0], blobs(200, 4, 2, 2.0, seed=1)[0]
    scale = np.array([1.0, 10.0, 0.1, 3.0])
    assert standardised(a * scale, b * scale) == pytest.approx(standardised(a, b))


def test_neighbours_never_see_the_image_itself() -> None:
    """Against a loop that leaves each image out. With random labels the image itself would give accuracy 1."""
    f, _ = blobs(60, 8, 3, 1.0)
    y = np.random.default_rng(1).integers(0, 3, 60)
    unit = f / np.linalg.norm(f, axis=1, keepdims=True)
    right = 0
    for i in range(60):
        distance = 1 - unit @ unit[i]
        distance[i] = np.inf
        near = np.argsort(distance)[:5]
        votes = np.bincount(y[near], weights=1 / (distance[near] + 1e-6), minlength=3)
        right += votes.argmax() == y[i]
    assert knn_accuracy(f, y) == pytest.approx(right / 60) and right < 40


def test_the_probe_is_held_out() -> None:
    """More features than images: any labels can be fitted, and held-out accuracy must stay at chance."""
    f, y = np.random.default_rng(0).normal(size=(200, 300)), np.arange(200) % 2
    assert 0.35 < probe_accuracy(f, y) < 0.65
    assert probe_accuracy(*blobs(90, 10, 3, 8.0)) > 0.98


@pytest.mark.parametrize("accuracy", [knn_accuracy, probe_accuracy])
def test_one_image_of_a_class_cannot_be_held_out(accuracy: object) -> None:
    with pytest.raises(ValueError, match="two images"):
        accuracy(np.eye(3), np.array([0, 1, 1]))  # type: ignore[operator]


def features(seed: int, theta: bool) -> Features:
    f, y = blobs(60, 8, 3, 2.0, seed)
    return Features(f[:, :3], f, y, np.full((60, 4), 0.25) if theta else None)


def test_the_table_is_complete_and_says_what_is_missing_and_why() -> None:
    every = measure(features(0, True), features(1, False), features(2, False), batch_norm=0.4)
    assert set(every.values) == set(MEASURES) and not every.missing and every.images == 60
    alone = measure(features(0, False), None, None, "no head here", "no norm here")
    assert alone.missing[Measure.BATCH_NORM] == "no norm here"
    assert alone.missing[Measure.EMD] == NO_SOURCE and alone.missing[Measure.LEEP] == "no head here"
    assert set(alone.values) | set(alone.missing) == set(MEASURES)
    single = measure(features(0, True).at(np.arange(3)), None, None)
    assert "two images" in single.missing[Measure.KNN] and Measure.LEEP in single.values


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_measure_that_cannot_be_computed_stops_nothing() -> None:
    broken = Features(np.full((6, 2), np.nan), np.full((6, 2), np.nan), np.arange(6) % 2)
    found = measure(broken, None, None)
    assert not found.values and Measure.LOGME in found.missing
