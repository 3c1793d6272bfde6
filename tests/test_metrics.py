import numpy as np
import pytest
from sklearn import metrics as sk

from serlib import metrics

CLASSES = ["anger", "fear", "neutral"]


@pytest.fixture(params=range(4))
def labels(request):
    rng = np.random.default_rng(request.param)
    truth = rng.choice(CLASSES, 60, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(60) < 0.6, truth, rng.choice(CLASSES, 60))
    return truth.tolist(), predicted.tolist()


def test_scores_are_scikit_learns(labels):
    truth, predicted = labels
    counts = metrics.confusion(truth, predicted, CLASSES)
    np.testing.assert_array_equal(counts, sk.confusion_matrix(truth, predicted, labels=CLASSES))
    assert metrics.wa(counts) == pytest.approx(sk.accuracy_score(truth, predicted))
    assert metrics.uar(counts) == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    assert metrics.macro_f1(counts) == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    theirs = sk.precision_recall_fscore_support(truth, predicted, labels=CLASSES)
    ours = metrics.per_class(counts, CLASSES)
    np.testing.assert_allclose(ours[["precision", "recall", "f1", "support"]].T, theirs)


def test_classes_that_never_occur_do_not_count():
    counts = metrics.confusion(["anger", "fear"], ["anger", "anger"], CLASSES)
    assert np.isnan(metrics.recall(counts)[2])
    assert metrics.uar(counts) == 0.5
    assert metrics.macro_f1(counts) == pytest.approx((2 / 3 + 0) / 2)


def test_constant_answer():
    counts = metrics.confusion(["fear"] * 3 + ["anger"], ["anger"] * 4, CLASSES)
    assert metrics.constant_wa(counts) == 0.75


def test_stacks_are_scored_one_by_one():
    one = metrics.confusion(["anger", "fear"], ["anger", "fear"], CLASSES)
    other = metrics.confusion(["anger", "fear"], ["fear", "anger"], CLASSES)
    np.testing.assert_array_equal(metrics.uar(np.stack([one, other])), [1, 0])


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [(["anger"], ["anger", "fear"], "1 true labels and 2"), (["joy"], ["anger"], "'joy'")],
)
def test_confusion_refuses_what_does_not_fit(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion(truth, predicted, CLASSES)


def group(right, wrong):
    return metrics.confusion(
        ["anger"] * (right + wrong) + ["fear"] * 10, ["anger"] * right + ["fear"] * (wrong + 10), CLASSES
    )


def test_interval_over_groups_is_longer_than_over_clips():
    """Clips of a speaker err together: all right for one half of the speakers, half wrong for the other."""
    speakers = np.stack([group(20, 0)] * 4 + [group(5, 15)] * 4)
    low, high = metrics.interval(speakers)
    assert low < metrics.uar(speakers.sum(axis=0)) < high
    single = [
        (true, said) for counts in speakers for true in (0, 1) for said in (0, 1) for _ in range(counts[true, said])
    ]
    clips = np.zeros((len(single), 3, 3), dtype=int)
    for k, (true, said) in enumerate(single):
        clips[k, true, said] = 1
    clip_low, clip_high = metrics.interval(clips)
    assert high - low > 1.5 * (clip_high - clip_low)


def test_interval_is_repeatable_and_honest_about_one_group():
    groups = np.stack([group(k, 10 - k) for k in range(10)])
    assert metrics.interval(groups) == metrics.interval(groups)
    assert metrics.interval(groups, level=0.5)[0] > metrics.interval(groups)[0]
    assert np.isnan(metrics.interval(groups[:1])).all()


def test_interval_carries_the_spread_over_seeds():
    """Speakers all alike, one seed much better than the other: only drawing seeds shows that another run may differ."""
    cells = np.stack([np.stack([group(20, 0), group(8, 12)])] * 6)  # (speaker, seed, true, said)
    assert metrics.interval(cells.sum(axis=1)) == (0.85, 0.85)
    low, high = metrics.interval(cells, seeds=True)
    np.testing.assert_allclose((low, high), (0.7, 1.0))
    assert metrics.interval(cells[:, :1], seeds=True) == metrics.interval(cells[:, 0])


def test_interval_follows_its_seed():
    groups = np.random.default_rng(0).integers(0, 100, size=(20, 3, 3))
    assert metrics.interval(groups, seed=1) == metrics.interval(groups, seed=1) != metrics.interval(groups, seed=2)


def test_interval_is_of_the_statistic_asked_for():
    """Half the anger is found by every speaker, always: UAR does not vary, accuracy does with the share of fear."""
    groups = np.stack([[[5, 5], [0, n_fear]] for n_fear in (2, 10, 40, 80)])
    assert metrics.interval(groups, metrics.uar) == (0.75, 0.75)
    low, high = metrics.interval(groups, metrics.wa)
    assert low < metrics.wa(groups.sum(axis=0)) < high


def test_interval_covers():
    """Of 95 % intervals over 30 groups, about as many cover the truth (with room for chance and few groups)."""
    rng = np.random.default_rng(0)
    hits = 0
    for k in range(100):
        right = rng.binomial(10, rng.beta(6, 4, size=30))
        groups = np.zeros((30, 2, 2), dtype=int)
        groups[:, 0, 0], groups[:, 0, 1] = right, 10 - right
        low, high = metrics.interval(groups, metrics.wa, n_draws=400, seed=k)
        hits += low <= 0.6 <= high
    assert 85 <= hits <= 100


def test_mean_interval_draws_groups():
    """Twenty clips of a speaker are one voice, not twenty facts; unequal groups weigh by their clips."""
    values, groups = np.repeat([0.0, 1.0, 1.0], [10, 20, 30]), np.repeat(["a", "b", "c"], [10, 20, 30])
    low, high = metrics.mean_interval(values, groups)
    assert low < values.mean() < high
    clip_low, clip_high = metrics.mean_interval(values, np.arange(60))
    assert high - low > 2 * (clip_high - clip_low)
    assert metrics.mean_interval(values, groups) == (low, high)
    assert metrics.mean_interval(values, groups, seed=1, n_draws=20) != metrics.mean_interval(
        values, groups, seed=2, n_draws=20
    )
    assert metrics.mean_interval(values, np.arange(60), level=0.5)[0] > clip_low


def test_mean_interval_is_the_share_that_interval_gives():
    right = np.random.default_rng(0).integers(0, 2, size=(8, 15))
    counts = np.zeros((8, 2, 2), dtype=int)
    counts[:, 0, 0], counts[:, 0, 1] = right.sum(axis=1), 15 - right.sum(axis=1)
    ours = metrics.mean_interval(right.ravel(), np.repeat(np.arange(8), 15))
    assert ours == pytest.approx(metrics.interval(counts, metrics.wa))


def test_mean_interval_leaves_out_what_is_missing():
    assert np.isnan(metrics.mean_interval(np.array([1.0, 2.0]), ["a", "a"])).all()
    assert np.isnan(metrics.mean_interval(np.array([1.0, np.nan]), ["a", "b"])).all()
    with_gap = metrics.mean_interval(np.array([1.0, 2.0, np.nan]), ["a", "b", "b"])
    assert with_gap == metrics.mean_interval(np.array([1.0, 2.0]), ["a", "b"])
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        metrics.mean_interval(np.ones(3), ["a", "b"])


def test_means_have_intervals_over_speakers():
    values = np.repeat([0.2, 0.4, 0.9], 20)
    speakers = np.repeat(["F1", "F2", "M1"], 20)
    low, high = metrics.mean_interval(values, speakers)
    assert low < 0.5 < high and low == pytest.approx(0.2) and high == pytest.approx(0.9)


def test_a_permutation_test_swaps_whole_groups():
    a = np.array([[[8, 2], [1, 9]]] * 8)
    b = np.array([[[5, 5], [4, 6]]] * 8)
    p = metrics.permutation_test(a, b)
    assert p == metrics.permutation_test(b, a)
    assert p == pytest.approx(2 / 2**8, rel=0.3)  # all groups agree: only swapping none or all is as far apart
    assert metrics.permutation_test(a, a) == 1
    assert metrics.permutation_test(a[:2], b[:2]) > 0.4, "two speakers cannot show anything"
    with pytest.raises(ValueError, match="the same clips"):
        metrics.permutation_test(a, b + 1)


def test_mcnemar_is_a_sign_test_of_the_clips_that_differ():
    a, b = np.array([1] * 9 + [0] * 5, bool), np.array([0] * 8 + [1] + [0] * 4 + [1], bool)
    assert metrics.mcnemar(a, b) == pytest.approx(2 * (1 + 9) / 2**9)
    assert metrics.mcnemar(a, a) == 1


def test_holm_is_that_of_its_paper():
    np.testing.assert_allclose(metrics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(metrics.holm([0.9, 0.8]), [1, 1])


def test_calibration_error_is_the_mean_distance():
    p, right = np.array([0.95] * 10 + [0.55] * 10), np.array([1] * 9 + [0] + [1] * 3 + [0] * 7, bool)
    assert metrics.ece(p, right) == pytest.approx((0.05 + 0.25) / 2)
    assert metrics.reliability(p, right).clips.tolist() == [10, 10]
    assert metrics.ece(np.ones(4), np.ones(4, bool)) == 0


def test_risk_falls_with_coverage_where_confidence_tells():
    table = metrics.risk_coverage(np.array([0.9, 0.6, 0.8, 0.5]), np.array([True, False, True, True]))
    assert table.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(table.risk, [0, 0, 1 / 3, 1 / 4])
