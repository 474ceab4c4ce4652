import numpy as np
import pandas
import pytest
from scipy import stats

from deepsim_tf.evaluation.statistics import add_best, add_intervals, bootstrap_interval, compare, holm


def pairs_of(**values):
    """The table of pairs of methods with their Dice, on the pairs t0 -> t1, t1 -> t2, ..."""
    tables = [
        pandas.DataFrame(
            {
                "method": method,
                "moving": [f"t{k}" for k in range(len(dice))],
                "fixed": [f"t{k + 1}" for k in range(len(dice))],
                "dice": dice,
            }
        )
        for method, dice in values.items()
    ]
    return pandas.concat(tables, ignore_index=True)


def row_of(table, method, other):
    return table[(table["method"] == method) & (table["other"] == other)].iloc[0]


def test_holm_by_hand():
    # sorted .01 .02 .03 .5 times 4 3 2 1 is .04 .06 .06 .5; unsorted, with a NaN that does not count
    np.testing.assert_allclose(holm([0.03, 0.5, np.nan, 0.01, 0.02]), [0.06, 0.5, np.nan, 0.04, 0.06])
    # the third of .01 .04 .03 may not fall below the second: .03 .06 .06; and none exceeds 1
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1, 1])


def test_a_comparison_by_hand():
    # five differences, all in favour of a: of the 2^5 signs one is as extreme; all 32 are as extreme in the other
    # direction. two tests: Holm doubles the smaller p. The differences .01 .02 .03 .04 .05 have mean .03 and deviation
    # sqrt(.001 / 4)
    table = compare(pairs_of(a=[0.81, 0.82, 0.83, 0.84, 0.85], b=[0.8] * 5))
    assert [*table.columns] == ["method", "other", "pairs", "mean_difference", "cohens_d", "p", "p_holm", "note"]
    a, b = row_of(table, "a", "b"), row_of(table, "b", "a")
    np.testing.assert_allclose([a["p"], a["p_holm"], b["p"], b["p_holm"]], [1 / 32, 2 / 32, 1, 1])
    np.testing.assert_allclose([a["mean_difference"], a["cohens_d"]], [0.03, 0.03 / np.sqrt(0.00025)])
    np.testing.assert_allclose([b["mean_difference"], b["cohens_d"]], [-0.03, -0.03 / np.sqrt(0.00025)])
    assert a["pairs"] == 5 and a["note"] == ""


def test_the_p_values_are_scipys(rng):
    a, b, c = rng.random((3, 60))
    table = compare(pairs_of(a=a, b=b, c=c))
    assert len(table) == 6
    for row in table.itertuples():
        x, y = ({"a": a, "b": b, "c": c}[name] for name in (row.method, row.other))
        np.testing.assert_allclose(row.p, stats.wilcoxon(x, y, alternative="greater").pvalue)
        np.testing.assert_allclose(row.cohens_d * np.sqrt(60), stats.ttest_rel(x, y).statistic)  # d_z is t / sqrt(n)


@pytest.mark.parametrize("count", [6, 30, 80])
def test_swapping_two_methods_gives_the_complementary_p(count, rng):
    table = compare(pairs_of(a=rng.random(count), b=rng.random(count)))
    both = table["p"].sum()
    if count > 50:  # the normal approximation is continuous
        np.testing.assert_allclose(both, 1)
    else:  # the exact p values both hold the probability of what was observed
        assert 1 < both < 1.2
    np.testing.assert_allclose(table["mean_difference"].sum(), 0, atol=1e-15)
    np.testing.assert_allclose(table["cohens_d"].sum(), 0, atol=1e-12)


def test_of_distances_the_lower_is_better(rng):
    pairs = pairs_of(a=rng.random(20), b=rng.random(20) + 0.5).rename(columns={"dice": "hd95"})
    table = compare(pairs, "hd95", better="lower")
    assert row_of(table, "a", "b")["p"] < 0.01 and row_of(table, "a", "b")["mean_difference"] < 0
    negative = compare(pairs.assign(hd95=-pairs["hd95"]), "hd95", better="higher")
    np.testing.assert_allclose(table["p"], negative["p"])
    pandas.testing.assert_frame_equal(compare(pairs, "hd95"), table)  # as the table of measures says


def test_a_measure_whose_direction_nobody_knows_is_refused(rng):
    pairs = pairs_of(a=rng.random(20), b=rng.random(20)).rename(columns={"dice": "cells_per_frame"})
    with pytest.raises(ValueError, match="Which way 'cells_per_frame' is better is not known. Say better="):
        compare(pairs, "cells_per_frame")


def test_zero_differences_are_left_out_of_the_ranks_and_counted_as_pairs():
    a, b = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.4, 0.3]), np.array([0.5, 0.6, 0.6, 0.6, 0.6, 0.8, 0.8])
    row = row_of(compare(pairs_of(a=a, b=b)), "a", "b")
    # differences .1 .2 .3 -.4 -.5: ranks 1 + 2 + 3 = 6 of 15; of the 32 sums of subsets of 1 .. 5, 22 are 6 or more
    np.testing.assert_allclose(row["p"], 22 / 32)
    assert row["pairs"] == 7


def test_ties_share_their_rank_in_spite_of_rounding():
    # all differences are 0.1 or -0.1, but 0.3 - 0.2 and 0.2 - 0.1 differ in the last bit; in tenths they are the same
    # number
    a, b = np.array([3, 2, 4, 5, 6, 2]), np.array([2, 1, 3, 4, 5, 3])
    np.testing.assert_allclose(compare(pairs_of(a=a / 10, b=b / 10))["p"], compare(pairs_of(a=a, b=b))["p"])


def test_equal_methods_and_too_few_pairs_are_said():
    equal = compare(pairs_of(a=[0.5] * 6, b=[0.5] * 6)).iloc[0]
    assert equal["p"] == 1 and equal["note"] == "no pair differs" and np.isnan(equal["cohens_d"])
    few = compare(pairs_of(a=[0.5, 0.6, 0.7, 0.8], b=[0.1] * 4))
    assert few["p"].isna().all() and few["p_holm"].isna().all() and set(few["note"]) == {"fewer than 5 pairs"}
    np.testing.assert_allclose(few["mean_difference"], [0.55, -0.55])


def test_pairs_without_the_measure_are_left_out():
    a, b = [0.1, 0.2, np.nan, 0.4, 0.5, 0.6, 0.8], [0.0, 0.0, 0.9, 0.0, 0.0, 0.0, np.nan]
    row = row_of(compare(pairs_of(a=a, b=b)), "a", "b")
    assert row["pairs"] == 5 and row["p"] == 1 / 32


def test_the_order_of_rows_does_not_matter(rng):
    pairs = pairs_of(a=rng.random(12), b=rng.random(12))
    shuffled = pandas.concat([pairs[:12], pairs[12:].sample(frac=1, random_state=0)])
    pandas.testing.assert_frame_equal(compare(shuffled), compare(pairs))


def test_pairs_that_one_method_lacks_are_named():
    pairs = pairs_of(mse=[0.1, 0.2, 0.3], deepsim=[0.1, 0.2, 0.3]).drop(index=4)
    with pytest.raises(ValueError, match="on the same pairs. deepsim lacks 1 of 3: t1 to t2"):
        compare(pairs)


@pytest.mark.parametrize(
    "pairs, message",
    [
        (pairs_of(a=[0.1, 0.2]), "compare expects at least two methods. Received: a"),
        (pairs_of(a=[0.1], b=[0.2])[:0], "compare expects at least two methods. Received: no rows"),
        (
            pairs_of(a=[0.1], b=[0.2]).drop(columns="fixed"),
            "pairs must have the columns method, moving, fixed, dice. Received without: fixed",
        ),
        (pandas.concat([pairs_of(a=[0.1], b=[0.2])] * 2), "each pair once a method. Received twice: t0 to t1 of a"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        compare(pairs)


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="Unknown better 'smaller'. Available: higher, lower"):
        compare(pairs_of(a=[0.1], b=[0.2]), better="smaller")


def test_the_interval_is_near_that_of_a_normal_mean(rng):
    values = rng.normal(0.8, 0.05, 400)
    low, high = bootstrap_interval(values)
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    np.testing.assert_allclose([low, high], expected, atol=5e-4)
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_the_interval_is_the_same_every_time_and_of_another_seed_another(rng):
    values = rng.random(20)
    assert bootstrap_interval(values) == bootstrap_interval([*values, np.nan]) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values)


def test_one_value_has_no_interval_and_equal_values_have_a_point():
    assert np.isnan(bootstrap_interval([0.5])).all() and np.isnan(bootstrap_interval([])).all()
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    low, high = bootstrap_interval([0.4, 0.6])
    assert 0.4 <= low <= high <= 0.6


def test_intervals_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="level must lie between 0 and 1, as in 0.95. Received: level=95"):
        bootstrap_interval([0.1, 0.2], level=95)
    with pytest.raises(ValueError, match="expects finite values or NaN. Received: 1 that are infinite"):
        bootstrap_interval([0.1, np.inf])


def test_a_summary_gains_the_interval_of_each_method(rng):
    pairs = pairs_of(a=rng.random(15), b=rng.random(15))
    summary = pandas.DataFrame({"method": ["b", "a"], "pairs": [15, 15], "dice": [0.5, 0.5], "hd95": [1.0, 2.0]})
    wider = add_intervals(summary, pairs)
    assert [*wider.columns] == [
        "method",
        "pairs",
        "dice",
        "dice_low",
        "dice_high",
        "hd95",
    ] and "dice_low" not in summary
    assert tuple(wider.loc[0, ["dice_low", "dice_high"]]) == bootstrap_interval(pairs[pairs["method"] == "b"]["dice"])
    assert tuple(wider.loc[1, ["dice_low", "dice_high"]]) == bootstrap_interval(pairs[pairs["method"] == "a"]["dice"])
    pandas.testing.assert_frame_equal(add_intervals(wider, pairs), wider)


def test_a_summary_of_other_methods_is_refused():
    with pytest.raises(ValueError, match="rows of each method of the summary. Received none of: ncc"):
        add_intervals(pandas.DataFrame({"method": ["a", "ncc"], "dice": [0.1, 0.2]}), pairs_of(a=[0.1, 0.2]))
    with pytest.raises(ValueError, match="summary must have the columns method, dice. Received without: dice"):
        add_intervals(pandas.DataFrame({"method": ["a"]}), pairs_of(a=[0.1, 0.2]))


def test_the_summary_says_how_surely_the_best_beats_each_other():
    pairs = pairs_of(
        a=[0.5, 0.5, 0.5, 0.5, 0.5, 0.5], b=[0.6, 0.61, 0.62, 0.63, 0.64, 0.65], c=[0.6, 0.6, 0.63, 0.62, 0.65, 0.6]
    )
    summary = pandas.DataFrame({"method": ["a", "b", "c"], "dice": pairs.groupby("method")["dice"].mean().to_list()})
    tests = compare(pairs)
    wider = add_best(summary, tests).set_index("method")
    assert wider.loc["b", ["best_p_holm", "best_cohens_d"]].isna().all()
    for other in ("a", "c"):
        row = tests.query("method == 'b' and other == @other").iloc[0]
        np.testing.assert_array_equal(
            wider.loc[other, ["best_p_holm", "best_cohens_d"]].astype(float), [row["p_holm"], row["cohens_d"]]
        )
