"""The figures show the numbers that they are given, and their files are complete."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from deepsim_tf import figures
from deepsim_tf.figures import boxplot, examples
from deepsim_tf.figures.convergence import _draw_convergence


def history(dice=(0.90, np.nan, 0.94)):
    return pd.DataFrame({"epoch": [1, 2, 3], "step": [100, 200, 300], "seconds": [10.0, 20.0, 30.0], "val_dice": dice})


def pairs():
    return pd.DataFrame(
        {"method": ["MSE", "MSE", "identity", "identity"], "moving": [0, 1, 0, 1], "dice": [0.92, 0.96, 0.80, 0.90]}
    )


def pair(shape=(24, 32)):
    labels = np.zeros(shape, int)
    labels[..., 6:18, 8:20] = 1
    labels[..., 10:14, 12:16] = 2
    image = labels * 0.4 + np.linspace(0, 0.2, shape[-1])
    return {"moving": image[..., None], "fixed": image, "warped": image, "flow": np.zeros((*shape, len(shape)))}, labels


def is_drawn(path):
    return imread(path)[..., :3].std() > 0.02


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_convergence_lines_carry_the_history_without_its_empty_rows():
    steps, seconds = _draw_convergence({"MSE": history()}, 0.85).axes
    np.testing.assert_array_equal(steps.lines[0].get_xydata(), [[100, 0.90], [300, 0.94]])
    np.testing.assert_array_equal(seconds.lines[0].get_xydata(), [[10, 0.90], [30, 0.94]])
    assert list(steps.lines[1].get_ydata()) == [0.85, 0.85]
    assert (steps.get_xlabel(), seconds.get_xlabel()) == ("Updates", "Training time (s)")


def test_long_training_is_shown_in_hours():
    table = history().assign(seconds=[3600.0, 7200.0, 10800.0])
    axis = _draw_convergence({"MSE": table}, None).axes[1]
    assert axis.get_xlabel() == "Training time (h)"
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [1, 3])


def test_methods_differ_by_line_style_and_marker():
    lines = _draw_convergence({name: history() for name in ("MSE", "NCC", "DeepSim")}, None).axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3


def test_identity_is_the_first_box_and_the_means_are_printed():
    axis = boxplot._draw_dice_boxplot(pairs(), None).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["identity", "MSE"]
    assert [text.get_text() for text in axis.texts] == ["0.8500", "0.9400"]
    diamonds = [line.get_ydata()[0] for line in axis.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(diamonds, [0.85, 0.94])


def test_every_pair_is_a_dot_of_its_box():
    axis = boxplot._draw_dice_boxplot(pairs(), None).axes[0]
    dots = [line.get_ydata() for line in axis.lines if line.get_marker() == "."]
    np.testing.assert_array_equal(dots, [[0.80, 0.90], [0.92, 0.96]])


def test_each_dataset_has_a_panel_of_its_own_methods():
    both = pd.concat([pairs().assign(dataset="cells"), pairs().query("method != 'identity'").assign(dataset="brains")])
    axes = boxplot._draw_dice_boxplot(both, None).axes
    assert [axis.get_title(loc="left") for axis in axes] == ["cells", "brains"]
    methods = list(dict.fromkeys(pairs()["method"]))
    assert [tick.get_text() for tick in axes[1].get_xticklabels()] == [
        method for method in methods if method != "identity"
    ]


def test_grid_lines_pass_through_p_plus_flow():
    images, _ = pair((48, 48))
    flow = images.pop("flow")
    flow[10, 20] = (1.5, -2.25)  # grid spacing 2: two lines cross at row 10, column 20
    figure = examples._draw_example_pair(images, flow, {}, False, None)
    lines = np.concatenate(figure.axes[3].collections[0].get_segments())
    assert (lines == (20 - 2.25, 10 + 1.5)).all(axis=1).sum() == 2  # (x, y)


def test_volume_is_cut_at_the_middle_of_its_first_axis():
    images, labels = pair((5, 24, 32))
    images["fixed"] = images["fixed"] + np.arange(5)[:, None, None]
    flow = images.pop("flow")
    flow[2, 0, 0] = (9, 1, 2)
    figure = examples._draw_example_pair(images, flow, {"moving_labels": labels, "fixed_labels": labels}, False, None)
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), images["fixed"][2])
    np.testing.assert_array_equal(figure.axes[3].collections[0].get_segments()[0][0], (2, 1))


def test_panels_without_inputs_are_left_out():
    images, labels = pair()
    flow = images.pop("flow")
    every = {"moving_labels": labels, "fixed_labels": labels, "warped_labels": labels}
    assert titles(examples._draw_example_pair(images, None, {}, False, None)) == ["Moving", "Fixed", "Warped"]
    assert titles(examples._draw_example_pair(images, flow, every, False, None))[3:] == [
        "Deformation",
        "Labels before",
        "Labels after",
    ]
    assert titles(examples._draw_example_pair(images, None, every, True, None))[3:5] == [
        "|moving − fixed|",
        "|warped − fixed|",
    ]


def test_an_edge_between_two_classes_is_outlined_once():
    labels = np.repeat([0, 1, 2, 0], 6)[None] + np.zeros(
        (12, 1), int
    )  # three upright edges, at columns 5.5, 11.5 and 17.5
    image = labels * 0.5
    figure = examples._draw_example_pair(
        {"moving": image, "fixed": image, "warped": image},
        None,
        {"moving_labels": labels, "fixed_labels": labels},
        False,
        None,
    )
    contours = figure.axes[3].collections[:2]  # classes 1 and 2 of the fixed labels
    edges = [sorted({float(x) for path in c.get_paths() for x in path.vertices[:, 0]}) for c in contours]
    assert edges == [[5.5, 11.5], [17.5]]


def test_files_exist_and_are_not_blank(tmp_path):
    images, labels = pair()
    every = {"moving_labels": labels, "fixed_labels": labels}
    methods = {**images, "warped": {"MSE": images["warped"]}, "flow": {"MSE": images["flow"]}}
    written = [
        *figures.convergence({"MSE": history()}, tmp_path / "new" / "convergence", identity=0.8),
        *figures.dice_boxplot(pairs(), tmp_path / "box.test", title="Test pairs"),
        *figures.example_pair(tmp_path / "pair", **images, **every, warped_labels=labels, title="Pair 0"),
        *figures.example_methods(
            tmp_path / "methods", **methods, **every, warped_labels={"MSE": labels}, dice={"MSE": 0.9}
        ),
    ]
    assert [path.name for path in written[2:4]] == ["box.test.png", "box.test.pdf"]
    assert all(is_drawn(path) for path in written[::2])
    assert all(path.read_bytes().startswith(b"%PDF") for path in written[1::2])
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)


def test_a_failed_write_keeps_the_figure_that_was_there(tmp_path, monkeypatch):
    (tmp_path / "box.png").write_bytes(b"old")

    def half(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(boxplot.Figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        figures.dice_boxplot(pairs(), tmp_path / "box")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("box.png", b"old")]


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="the history of 'NCC'.*the column 'val_dice'.*Received: the columns epoch, step, seconds"
    ):
        figures.convergence({"NCC": history().drop(columns="val_dice")}, tmp_path / "c")
    with pytest.raises(ValueError, match="the column 'method', as in pairs.csv"):
        figures.dice_boxplot(pairs().drop(columns="method"), tmp_path / "b")


def test_nothing_to_draw_is_an_error_that_names_the_method(tmp_path):
    with pytest.raises(ValueError, match="the history of 'MSE'.*a validation Dice"):
        figures.convergence({"MSE": history([np.nan] * 3)}, tmp_path / "c")
    with pytest.raises(ValueError, match="method 'MSE'.*a Dice for at least one pair"):
        figures.dice_boxplot(pairs().assign(dice=[np.nan, np.nan, 0.8, 0.9]), tmp_path / "b")


def test_another_grid_is_an_error_that_names_the_array(tmp_path):
    images, _ = pair()
    with pytest.raises(ValueError, match=r"warped needs the grid.*Expected: \(24, 32\).*Received: \(20, 32\)"):
        figures.example_pair(tmp_path / "p", **{**images, "warped": images["warped"][:20]})
    with pytest.raises(
        ValueError, match=r"flow needs one displacement.*Expected: \(24, 32, 2\).*Received: \(24, 32, 1\)"
    ):
        figures.example_pair(tmp_path / "p", **{**images, "flow": images["flow"][..., :1]})
