"""Each rule against NumPy by hand, in double precision."""

import numpy as np
import pytest

from deepsim_tf.intensity.rules import apply_intensity, parse_rule

RAW = np.arange(0, 201, dtype=np.uint8).reshape(3, 67)


def test_fixed_is_a_straight_line_and_not_clipped():
    found = apply_intensity(np.array([-64, 0, 32, 128, 255], np.int16), "fixed:0:128")
    np.testing.assert_array_equal(found, [-0.5, 0, 0.25, 1, 255 / 128])
    np.testing.assert_array_equal(apply_intensity(np.array([-1000, 400]), "fixed:-1000:1000"), np.float32([0, 0.7]))


def test_minmax_brings_the_ends_to_0_and_1():
    np.testing.assert_allclose(apply_intensity(RAW + 20, "minmax"), np.arange(201).reshape(3, 67) / 200, rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "low", "high"), [("quantile", 2, 198), ("quantile:0.01:0.99", 2, 198), ("quantile:0:0.5", 0, 100)]
)
def test_quantiles_become_0_and_1_and_what_is_beyond_is_clipped(rule, low, high):
    # The q quantile of 0, 1, .., 200 is 200 q.
    np.testing.assert_allclose(apply_intensity(RAW, rule), np.clip((RAW - float(low)) / (high - low), 0, 1), atol=1e-6)


def test_a_quantile_between_two_values_is_interpolated():
    # A quarter lies half way between 0 and 40, three quarters half way between 40 and 100: (40 - 20) / (70 - 20).
    np.testing.assert_allclose(apply_intensity(np.array([0, 40, 100]), "quantile:0.25:0.75"), [0, 0.4, 1], atol=1e-6)


def test_none_changes_the_type_alone():
    found = apply_intensity(RAW, "none")
    assert found.dtype == np.float32 and found is not RAW
    np.testing.assert_array_equal(found, RAW)


@pytest.mark.parametrize("rule", ["minmax", "quantile:0:1", "fixed:0:1", "none"])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64", ">i2"]
)
def test_any_real_dtype_becomes_float32_and_the_raw_array_stays(rule, dtype):
    raw = np.array([[0, 1], [1, 0]], dtype)
    raw.flags.writeable = False
    found = apply_intensity(raw, rule)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"])
@pytest.mark.parametrize("rule", ["minmax", "quantile:0.25:0.75", "quantile"])
def test_the_extremes_of_an_integer_type_do_not_overflow(dtype, rule):
    # NumPy's own quantile does: np.quantile(int16([-32768, 32767]), 0.5) is 32767.5.
    ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    np.testing.assert_array_equal(apply_intensity(np.array([ends]), rule), [[0, 1]])
    np.testing.assert_allclose(
        apply_intensity(np.linspace(*ends, 5)[1:4].astype(dtype), "minmax"), [0, 0.5, 1], atol=0.01
    )


@pytest.mark.parametrize("raw", [[1e9, 1e9 + 1, 1e9 + 4], np.array([10**9, 10**9 + 1, 10**9 + 4], np.int32)])
def test_small_contrast_on_a_large_offset_survives(raw):
    # In single precision the three are one number.
    np.testing.assert_allclose(apply_intensity(raw, "minmax"), [0, 0.25, 1], rtol=1e-6)


def test_nan_stays_for_the_caller_to_report():
    assert np.isnan(apply_intensity(np.array([0, np.nan]), "fixed:0:2")[1])
    assert np.isinf(apply_intensity(np.array([0, 1e300]), "none")[1])


@pytest.mark.parametrize("rule", ["minmax", "quantile", "quantile:0.5:0.6"])
def test_an_image_without_contrast_is_refused(rule):
    with pytest.raises(
        ValueError, match=f"the rule '{rule}' needs contrast, and the image has 7 as its lower and 7 as its upper bound"
    ):
        apply_intensity(np.full((3, 3), 7), rule)


@pytest.mark.parametrize(
    "rule",
    [
        "zscore",
        "",
        None,
        "MinMax",
        "minmax:0:1",
        "none:1",
        "fixed",
        "fixed:0",
        "fixed:1:1",
        "fixed:2:1",
        "fixed:a:b",
        "fixed:0:nan",
        "fixed:0:1:2",
        "quantile:0.9",
        "quantile:0.9:0.1",
        "quantile:-0.1:1",
        "quantile:1:99",
    ],
)
def test_an_unknown_rule_lists_the_known_ones(rule):
    available = (
        "Available: minmax, quantile, quantile:LOW:HIGH with 0 <= LOW < HIGH <= 1, fixed:LOW:HIGH with LOW <"
        " HIGH, none."
    )
    for function in (parse_rule, lambda name: apply_intensity(RAW, name)):
        with pytest.raises(ValueError, match=f"^Unknown intensity rule {rule!r}. {available}$"):
            function(rule)


def test_a_rule_is_parsed_to_its_numbers():
    assert parse_rule("fixed:-1000:1e3") == ("fixed", -1000, 1000) and parse_rule("quantile") == (
        "quantile",
        0.01,
        0.99,
    )
    assert parse_rule("minmax") == ("minmax", None, None)
