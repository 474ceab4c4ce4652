"""Statistics of a comparison: which differences between methods are more than chance, and how sure a mean is.

Everything here reads the table of pairs (pairs.csv): one row a pair and method, with the columns method, moving, fixed
and the measures. What is tested are the pairs of that table; pairs that share images, as neighbouring frames of one
movie do, are not independent, and the true uncertainty about other movies is larger.
"""

import itertools

import numpy as np
import pandas
from scipy import stats

from deepsim_tf import checks
from deepsim_tf.metrics.table import direction

MIN_PAIRS = 5  # of 4 pairs even the clearest ranking has p = 1/16


def compare(pairs, measure="dice", *, better=None):
    """Test for each ordered pair of methods whether the first is better, pair by pair of images.

    The test is Wilcoxon's signed-rank test, one-sided, of the differences method - other. Differences of 0 are left out
    (Wilcoxon's own treatment) and equal ones share their rank; they are rounded to 12 decimals first, so that ties are
    ties. Up to 50 differences without ties the p value is exact (with ties up to 13, from SciPy 1.15 on), otherwise the
    normal approximation without correction for continuity. Pairs where the measure is NaN for either method are left
    out.

    Args:
        pairs: DataFrame with the columns method, moving, fixed and `measure`, each method on the same pairs.
        measure: name of a column of numbers.
        better: `"higher"` (Dice) or `"lower"` (distances, folds). Default: as the table of measures says.

    Returns:
        DataFrame, one row an ordered pair of methods, in order of appearance:
        method, other; pairs, the number compared; mean_difference of method - other, in units of the measure; cohens_d,
        the mean of the differences over their standard deviation (d_z of paired samples, n - 1; NaN where they do not
        vary); p, that such an advantage of `method` is chance; p_holm, p corrected for all tests of the table after
        Holm; note, empty or why a number is missing. Of fewer than 5 pairs p is NaN; where no pair differs it is 1.

    Raises:
        ValueError: missing columns, a pair twice, pairs that one method has and another lacks, one method only.

    Example:
        >>> table = pandas.DataFrame({"method": ["a"] * 5 + ["b"] * 5, "moving": [*range(5)] * 2})
        >>> table["fixed"] = table["moving"] + 1
        >>> table["dice"] = [0.81, 0.82, 0.83, 0.84, 0.85, 0.80, 0.80, 0.80, 0.80, 0.80]
        >>> compare(table)[["method", "other", "mean_difference", "p", "p_holm"]].round(4).values.tolist()
        [['a', 'b', 0.03, 0.0312, 0.0625], ['b', 'a', -0.03, 1.0, 1.0]]

    Reference:
        Wilcoxon, Biometrics Bulletin 1 (1945); Holm, Scandinavian Journal of Statistics 6 (1979); Cohen, Statistical
        power analysis for the behavioral sciences (1988), section 2.3.5 (d_z).
    """
    better = direction(measure) if better is None else better
    checks.known("better", better, ("higher", "lower"))
    values = _by_method(pairs, measure)
    if len(values.columns) < 2:
        raise ValueError(
            f"compare expects at least two methods. Received: {', '.join(map(str, values.columns)) or 'no rows'}."
        )
    rows = []
    for method, other in itertools.permutations(values.columns, 2):
        difference = (values[method] - values[other]).dropna().to_numpy().round(12)
        p, note = _signed_rank(difference, "greater" if better == "higher" else "less")
        deviation = np.std(difference, ddof=1) if len(difference) > 1 else 0.0
        rows.append(
            {
                "method": method,
                "other": other,
                "pairs": len(difference),
                "mean_difference": np.mean(difference) if len(difference) else np.nan,
                "cohens_d": np.mean(difference) / deviation if deviation > 1e-12 else np.nan,
                "p": p,
                "note": note,
            }
        )
    table = pandas.DataFrame(rows)
    table.insert(table.columns.get_loc("note"), "p_holm", holm(table["p"]))
    return table


def holm(p):
    """Holm's correction of p values: the k-th smallest of m times m - k + 1, at least the one before it, at most 1.

    NaN stays NaN and does not count among the m.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, "float64")
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def bootstrap_interval(values, *, seed=0, level=0.95):
    """Confidence interval of the mean by the bootstrap, bias-corrected and accelerated (BCa), of 9999 resamples.

    Args:
        values: numbers, one a pair; NaN are left out.
        seed: of the resampling; the same seed and values give the same interval.
        level: probability that the interval covers the mean, in (0, 1).

    Returns:
        (low, high), floats; NaN for fewer than 2 values, and the value itself twice where all are equal.

    Raises:
        ValueError: a level outside (0, 1), infinite values.

    Example:
        >>> low, high = bootstrap_interval([0.80, 0.82, 0.84, 0.86, 0.88])
        >>> round(low, 3), round(high, 3)
        (0.816, 0.864)

    Reference:
        Efron, Journal of the American Statistical Association 82 (1987); scipy.stats.bootstrap.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as in 0.95. Received: level={level}.")
    values = np.asarray(values, "float64").ravel()
    values = values[~np.isnan(values)]
    if np.isinf(values).any():
        raise ValueError(
            f"bootstrap_interval expects finite values or NaN. Received: {np.isinf(values).sum()} that are infinite."
        )
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    # random_state is the name that SciPy 1.14 and 1.17 both take; a batch bounds the memory for thousands of pairs
    arguments = {"confidence_level": level, "method": "BCa", "batch": 500, "random_state": np.random.default_rng(seed)}
    interval = stats.bootstrap((values,), np.mean, **arguments).confidence_interval
    return float(interval.low), float(interval.high)


def add_intervals(summary, pairs, measure="dice", *, seed=0, level=0.95):
    """The summary with the columns dice_low and dice_high behind dice: the interval of each method's mean.

    Args:
        summary: DataFrame of one row a method, with the columns method and `measure`, as `evaluation.summarise` makes
            it.
        pairs: the table of pairs that it summarises.
        measure: another column than dice; the new ones are named after it.
        seed, level: see `bootstrap_interval`.

    Returns:
        A copy of the summary, two columns wider.

    Raises:
        ValueError: missing columns, methods of the summary without pairs.
    """
    _columns("summary", summary, ("method", measure))
    _columns("pairs", pairs, ("method", measure))
    missing = [str(method) for method in summary["method"] if method not in set(pairs["method"])]
    if missing:
        raise ValueError(f"pairs must hold rows of each method of the summary. Received none of: {', '.join(missing)}.")
    intervals = [
        bootstrap_interval(pairs.loc[pairs["method"] == method, measure], seed=seed, level=level)
        for method in summary["method"]
    ]
    summary = summary.drop(columns=[f"{measure}_low", f"{measure}_high"], errors="ignore")
    place = summary.columns.get_loc(measure) + 1
    summary.insert(place, f"{measure}_low", [low for low, _ in intervals])
    summary.insert(place + 1, f"{measure}_high", [high for _, high in intervals])
    return summary


def add_best(summary, tests, measure="dice"):
    """The summary with the columns best_p_holm and best_cohens_d.

    How surely, and by how much, the best method beats that of the row.

    The best is the method of the highest mean, or of the lowest where lower is better; its own row has NaN. All ordered
    pairs of methods are in the table of `compare`.

    Args:
        summary: DataFrame of one row a method, with the columns method and `measure`.
        tests: table of `compare` on the same pairs.
        measure: what the methods are ranked by.

    Returns:
        A copy of the summary, two columns wider.

    Raises:
        ValueError: missing columns.
    """
    _columns("summary", summary, ("method", measure))
    _columns("tests", tests, ("method", "other", "p_holm", "cohens_d"))
    means = summary[measure]
    best = summary.loc[means.idxmax() if direction(measure) == "higher" else means.idxmin(), "method"]
    over = tests[tests["method"] == best].set_index("other")
    return summary.assign(**{f"best_{name}": summary["method"].map(over[name]) for name in ("p_holm", "cohens_d")})


def _columns(name, table, columns):
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{name} must have the columns {', '.join(columns)}. Received without: {', '.join(missing)}.")


def _by_method(pairs, measure):
    """The measure, a row for each pair of images and a column for each method, each pair there once."""
    _columns("pairs", pairs, ("method", "moving", "fixed", measure))
    twice = pairs[pairs.duplicated(["method", "moving", "fixed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"pairs must hold each pair once a method. Received twice: {row['moving']} to {row['fixed']} of"
            f" {row['method']}."
        )
    index = {
        method: pandas.MultiIndex.from_frame(rows[["moving", "fixed"]])
        for method, rows in pairs.groupby("method", sort=False)
    }
    every = pandas.MultiIndex.from_frame(pairs[["moving", "fixed"]].drop_duplicates())
    for method, own in index.items():
        lacking = every.difference(own, sort=False)
        if len(lacking):
            first = ", ".join(f"{moving} to {fixed}" for moving, fixed in lacking[:3]) + (
                ", ..." if len(lacking) > 3 else ""
            )
            raise ValueError(
                f"Methods are compared on the same pairs. {method} lacks {len(lacking)} of {len(every)}: {first}."
            )
    return pairs.pivot(index=["moving", "fixed"], columns="method", values=measure)[list(index)].astype("float64")


def _signed_rank(difference, alternative):
    """p of the one-sided test and a note where it is not the plain case."""
    if len(difference) < MIN_PAIRS:
        return np.nan, f"fewer than {MIN_PAIRS} pairs"
    difference = difference[difference != 0]
    if len(difference) == 0:
        return 1.0, "no pair differs"
    return float(stats.wilcoxon(difference, alternative=alternative).pvalue), ""
