"""Figures of tables: Dice of each class, the sweep over the regulariser's weight, robustness to noise."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from deepsim_tf import figures
from deepsim_tf.figures.classes import _draw_dice_per_class
from deepsim_tf.figures.drawing import looks
from deepsim_tf.figures.noise import _draw_noise_robustness
from deepsim_tf.figures.smoothness import _draw_smoothness

EIGHT = ("MSE", "NCC", "NCC_sup", "NMI", "MIND", "DeepSim_ae", "DeepSim", "DeepSim_VGG")


def pairs(classes=3, methods=("MSE", "identity")):
    """Three pairs a method; class c of method m has Dice 0.5, 0.6 and 0.9, plus c / 100, minus m / 10."""
    table = pd.DataFrame({"method": np.repeat(methods, 3), "dice_low": 0.0})
    for c in range(classes):
        table[f"dice_{c}"] = (
            np.tile([0.5, 0.6, 0.9], len(methods)) + c / 100 - np.repeat(np.arange(len(methods)), 3) / 10
        )
    return table


def sweep():
    rows = [
        ("MSE", 1.0, 0.80, 0.10, 0.0),
        ("MSE", 0.01, 0.70, 0.40, 0.02),
        ("MSE", 0.1, 0.85, 0.20, 0.001),
        ("DeepSim", 0.5, 0.90, 0.15, 0.0),
    ]
    table = pd.DataFrame(rows, columns=["method", "weight", "dice", "sd_log_jacobian", "folds"])
    return table.assign(chosen=[False, False, True, True])


def noise():
    table = pd.DataFrame(
        {
            "method": ["MSE"] * 3 + ["NCC"] * 3,
            "sigma": [0.1, 0.0, 0.35] * 2,
            "dice": [0.89, 0.90, 0.85, 0.87, 0.88, 0.80],
        }
    )
    return table.assign(dice_low=table["dice"] - 0.01, dice_high=table["dice"] + 0.02)


def markers(axis):
    return {line.get_label(): line.get_xydata() for line in axis.lines}


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def class_names(figure):
    return [text.get_text() for axis in figure.axes for text in axis.get_yticklabels()]


def overlaps(boxes):
    """Whether any two of the boxes share more than an edge."""
    return any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def text_boxes(figure):
    """Where the figure's texts, but for the ticks', lie on paper."""
    figure.draw_without_rendering()
    texts = [text for legend in figure.legends for text in (*legend.get_texts(), legend.get_title())]
    texts += [text for axis in figure.axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts)]
    texts += [text for text in (figure._suptitle, figure._supxlabel) if text]
    return [text.get_window_extent() for text in texts if text.get_text()]


def test_each_class_shows_the_mean_between_the_quartiles():
    figure = _draw_dice_per_class(pairs(), None)
    axis = figure.axes[0]
    np.testing.assert_allclose(markers(axis)["MSE"][:, 0], np.array([2.0, 2.0]) / 3 + [0.01, 0.02])
    bars = [segment[:, 0] for collection in axis.collections for segment in collection.get_segments()]
    np.testing.assert_allclose(bars[2:], [[0.56, 0.76], [0.57, 0.77]])  # of MSE; identity's come first
    assert class_names(figure) == ["class 1", "class 2"] and legend_texts(figure) == ["identity", "MSE"]


def test_the_background_and_names_are_shown_on_request():
    figure = _draw_dice_per_class(pairs(), None, ["background", "cell"], background=True)
    assert class_names(figure) == ["background", "cell", "class 2"]
    assert class_names(_draw_dice_per_class(pairs(), None, {2: "nucleus"})) == ["class 1", "nucleus"]


def test_classes_are_ordered_by_number_and_57_stand_in_three_columns_from_top_to_bottom():
    figure = _draw_dice_per_class(pairs(58, EIGHT), "Many classes")
    assert class_names(figure) == [f"class {c}" for c in range(1, 58)]
    assert len(figure.axes) == 3 and all(
        axis.yaxis_inverted() and axis.get_ylim() == figure.axes[0].get_ylim() for axis in figure.axes
    )
    assert max(figure.get_size_inches()) < 17 and not overlaps(text_boxes(figure))


def test_methods_of_a_class_stand_apart_and_within_its_band():
    axis = _draw_dice_per_class(pairs(30, EIGHT), None).axes[0]
    places = np.array([points[:2, 1] for points in markers(axis).values()])  # (methods, first two classes)
    assert (np.diff(places[:, 0]) > 0.05).all()
    assert -0.5 < places[0, 0] and places[-1, 0] < 0.5 < places[0, 1]


def test_a_class_that_no_pair_has_is_left_out():
    table = pairs(4).assign(dice_2=np.nan)
    table.loc[table["method"] == "MSE", "dice_3"] = np.nan  # MSE alone lacks class 3
    figure = _draw_dice_per_class(table, None)
    assert class_names(figure) == ["class 1", "class 3"]
    assert np.isnan(markers(figure.axes[0])["MSE"][1, 0])


def test_a_sweep_is_drawn_through_its_weights_in_order():
    axis, below = _draw_smoothness(sweep(), None).axes
    np.testing.assert_array_equal(markers(axis)["MSE (λ = 0.1)"], [[0.40, 0.70], [0.20, 0.85], [0.10, 0.80]])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [2, 0.1, 0])  # percent
    assert {text.get_text(): tuple(text.xy) for text in axis.texts}["0.01"] == (0.40, 0.70)
    assert "SD log|J|" in below.get_xlabel() and below.get_ylabel() == "Folds (%)"


def test_the_chosen_weight_has_a_ring_and_the_reference_a_line():
    figure = _draw_smoothness(sweep(), None, 0.18)
    axis = figure.axes[0]
    rings = np.concatenate([line.get_xydata() for line in axis.lines if line.get_markersize() == 12])
    np.testing.assert_array_equal(rings, [[0.20, 0.85], [0.15, 0.90]])
    assert list(axis.lines[-1].get_xdata()) == [0.18, 0.18]
    assert legend_texts(figure)[-2:] == ["chosen weight (its λ in brackets)", "matched SD log|J| = 0.18"]


def test_weights_are_written_where_they_hide_nothing():
    rows = [
        (method, w, 0.9 - 0.002 * n - 0.02 / w, 0.3 / w + 0.005 * n, 0.0)
        for n, method in enumerate(EIGHT)
        for w in range(1, 11)
    ]
    figure = _draw_smoothness(
        pd.DataFrame(rows, columns=["method", "weight", "dice", "sd_log_jacobian", "folds"]), "Eight methods"
    )
    axis = figure.axes[0]
    boxes = text_boxes(figure)
    assert 10 < len(axis.texts) < 80 and not overlaps(boxes)  # crowded ones are left out
    points = axis.transData.transform(
        np.concatenate([line.get_xydata() for line in axis.lines if len(line.get_xydata())])
    )
    assert not any(text.get_window_extent().contains(*point) for text in axis.texts for point in points)


def test_a_sweep_without_a_choice_has_no_ring():
    figure = _draw_smoothness(sweep().drop(columns="chosen"), None)
    assert legend_texts(figure) == ["MSE", "DeepSim"]


def test_noise_lines_are_ordered_by_sigma():
    table = noise().drop(columns=["dice_low", "dice_high"])
    axis = _draw_noise_robustness(table, None).axes[0]
    np.testing.assert_array_equal(markers(axis)["MSE"], [[0.0, 0.90], [0.1, 0.89], [0.35, 0.85]])
    assert not axis.collections


def test_intervals_are_bars_that_stand_side_by_side():
    axis = _draw_noise_robustness(noise(), None).axes[0]
    bars = np.array([collection.get_segments() for collection in axis.collections])  # (methods, sigmas, 2 ends, xy)
    np.testing.assert_allclose(bars[0, :, :, 1], [[0.89, 0.92], [0.88, 0.91], [0.84, 0.87]])
    np.testing.assert_allclose(bars[1, :, 0, 0] - bars[0, :, 0, 0], 0.03)
    np.testing.assert_allclose(bars[:, :, 0, 0].mean(axis=0), [0.0, 0.1, 0.35])
    np.testing.assert_allclose(axis.lines[0].get_xdata(), bars[0, :, 0, 0])


def test_ten_methods_look_different_without_colour():
    found = looks(["MSE", "identity", *EIGHT[1:], "SyN", "SyN + DeepSim"])
    assert next(iter(found)) == "identity"
    hollow = [look["markerfacecolor"] == "white" for look in found.values()]
    assert (
        len({(str(look["linestyle"]), look["marker"], h) for look, h in zip(found.values(), hollow)})
        == len(found)
        == 11
    )


def test_title_and_legend_do_not_overlap():
    rows = [(method, s, 0.9 - s / 10) for method in ("identity", *EIGHT) for s in (0, 0.1)]
    for figure in (
        _draw_noise_robustness(pd.DataFrame(rows, columns=["method", "sigma", "dice"]), "Platelet-EM"),
        _draw_dice_per_class(pairs(3, ("identity", *EIGHT)), "Platelet-EM"),
        _draw_dice_per_class(pairs(24, ("identity", *EIGHT)), "Brain-MRI"),
    ):
        width, height = figure.bbox.size
        boxes = text_boxes(figure)
        assert not overlaps(boxes)
        assert all(box.x0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_files_are_written_and_not_blank(tmp_path):
    written = [
        *figures.dice_per_class(pairs(), tmp_path / "classes", title="Platelet-EM"),
        *figures.smoothness(sweep(), tmp_path / "smoothness", reference=0.2),
        *figures.noise_robustness(noise(), tmp_path / "noise"),
    ]
    assert all(imread(path)[..., :3].std() > 0.02 for path in written[::2])
    assert all(path.read_bytes().startswith(b"%PDF") for path in written[1::2])
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="the Dice of each class.*'method', as in pairs.csv.*Received: the columns dice_low, dice_0"
    ):
        figures.dice_per_class(pairs().drop(columns="method"), tmp_path / "f")
    with pytest.raises(ValueError, match="the sweep.*the column 'folds'"):
        figures.smoothness(sweep().drop(columns="folds"), tmp_path / "f")
    with pytest.raises(ValueError, match="the robustness to noise.*the column 'sigma'"):
        figures.noise_robustness(noise().drop(columns="sigma"), tmp_path / "f")


def test_nothing_to_draw_is_an_error_that_says_what_is_missing(tmp_path):
    with pytest.raises(
        ValueError, match=r"a column dice_<number> of a class other than the background \(0\) with a Dice"
    ):
        figures.dice_per_class(pairs(1), tmp_path / "f")
    with pytest.raises(ValueError, match="method 'DeepSim'.*a Dice and an SD log|J| for at least one weight"):
        figures.smoothness(sweep().assign(dice=[0.8, 0.7, 0.85, np.nan]), tmp_path / "f")
    with pytest.raises(ValueError, match="method 'NCC'.*a Dice for at least one sigma"):
        figures.noise_robustness(noise().assign(dice=[0.9, 0.9, 0.8, *[np.nan] * 3]), tmp_path / "f")
