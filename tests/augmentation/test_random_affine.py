import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from deepsim_tf.augmentation import RandomAffine
from deepsim_tf.augmentation.spatial import affine_points
from deepsim_tf.layers import voxel_grid, warp

OFF = {"rotation": 0, "scale": (1.0, 1.0), "shear": 0, "flip": False}


def affine_flow(matrix, translation, shape):
    return tf.stack(affine_points(matrix, translation, shape), -1) - voxel_grid(shape)


def batch(shape=(20, 24), count=2):
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.random((count, *shape)), (0, *[2] * len(shape))).astype("float32")
    labels = (image > np.median(image)).astype("int32")
    return {
        "moving": tf.constant(image[..., None]),
        "fixed": tf.constant(image[..., None]),
        "moving_labels": tf.constant(labels),
        "fixed_labels": tf.constant(labels),
    }


@pytest.mark.parametrize("shape", [(20, 24), (10, 12, 14)])
def test_an_affine_map_is_scipys(shape):
    # scipy reads output p at matrix @ p + offset; ours is about the centre c: offset = c + t - matrix @ c
    ndim, rng = len(shape), np.random.default_rng(1)
    image = rng.random(shape).astype("float32")
    matrix, move, centre = (
        np.eye(ndim) + 0.2 * rng.normal(size=(ndim, ndim)),
        rng.normal(size=ndim),
        (np.array(shape) - 1) / 2,
    )
    flow = affine_flow(matrix[None], move[None], shape)
    for interpolation, order, tolerance in (("linear", 1, 1e-4), ("nearest", 0, 0)):
        ours = warp(image[None, ..., None], flow, interpolation=interpolation)[0, ..., 0]
        theirs = ndimage.affine_transform(image, matrix, centre + move - matrix @ centre, order=order, mode="nearest")
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_rotations_cover_the_circle_and_a_quarter_turn_is_numpys():
    augment = RandomAffine(**{**OFF, "rotation": 180})
    matrices = augment.sample(1000, 2, (1, 2))[0].numpy()
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert angles.min() < -170 and angles.max() > 170 and abs(angles.mean()) < 15
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (1000, 2, 2)), atol=1e-5
    )
    quarter = warp(batch((9, 9))["moving"], affine_flow([[[0.0, -1.0], [1.0, 0.0]]] * 2, [[0.0, 0.0]] * 2, (9, 9)))
    np.testing.assert_allclose(quarter, np.rot90(batch((9, 9))["moving"], k=-1, axes=(1, 2)), atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 24), (10, 12, 14)])
def test_a_pair_and_its_labels_move_together(shape):
    data = batch(shape)
    out = RandomAffine()(data, (3, 4))
    np.testing.assert_array_equal(out["moving"], out["fixed"])
    np.testing.assert_array_equal(out["moving_labels"], out["fixed_labels"])
    # The threshold of the moved image is the moved labels, but for voxels on the contour.
    agree = (out["moving"].numpy()[..., 0] > np.median(data["moving"])) == out["moving_labels"].numpy()
    assert agree.mean() > 0.93 and not np.allclose(out["moving"], data["moving"])


class FixedAffine(RandomAffine):
    """A RandomAffine whose draw is given: matrix A, and translation as fractions of the sides."""

    def __init__(self, matrix, offset):
        super().__init__()
        self.matrix, self.offset = matrix, offset

    def sample(self, count, ndim, seed):
        return [
            tf.constant(np.tile(part, (1, *[1] * np.ndim(part))), tf.float32) for part in (self.matrix, self.offset)
        ]  # batch of 1


@pytest.mark.parametrize(
    ("shape", "matrix", "offset", "voxel", "lands"),
    [
        # The output at p is the input at c + A (p - c) + t: the voxel lands at c + A^-1 (voxel - c - t).
        ((9, 9), [[0, -1], [1, 0]], [0, 0], (1, 3), (3, 7)),  # 90 degrees: voxel - c = (-3, -1), A^-1 of it (-1, 3)
        ((9, 8), [[-1, 0], [0, 1]], [0, 0], (1, 3), (7, 3)),  # rows flipped
        ((9, 8), [[1, 0], [0, -1]], [0, 0], (1, 3), (1, 4)),  # columns flipped, an even number of them
        ((10, 8), [[1, 0], [0, 1]], [0.2, -0.25], (5, 3), (3, 5)),  # t = (2, -2) voxels
        ((9, 9), [[0.5, 0], [0, 0.5]], [0, 0], (3, 5), (2, 6)),  # magnified twice: (-1, 1) becomes (-2, 2)
        (
            (5, 7, 5),
            [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
            [0, 0, 0],
            (1, 2, 4),
            (4, 2, 3),
        ),  # (-1, -1, 2) becomes (2, -1, 1)
        (
            (5, 7, 6),
            [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
            [0.2, 0, 0],
            (2, 1, 5),
            (1, 5, 5),
        ),  # columns flipped, t = (1, 0, 0)
    ],
)
def test_a_marked_voxel_lands_where_the_map_says_in_images_and_labels(shape, matrix, offset, voxel, lands):
    marked = np.zeros((1, *shape, 1), "float32")
    marked[(0, *voxel)] = 1.0
    labels = (5 * marked[..., 0]).astype("int32")
    out = FixedAffine(matrix, offset)(
        {"moving": marked, "fixed": 2 * marked, "moving_labels": labels, "fixed_labels": labels + 1}, (1, 2)
    )
    at = (0, *lands)
    assert (
        out["moving"][at][0] == 1
        and out["fixed"][at][0] == 2
        and out["moving_labels"][at] == 5
        and out["fixed_labels"][at] == 6
    )
    if abs(np.linalg.det(matrix)) == 1:  # no other voxel has it
        assert np.sum(out["moving"]) == 1 and np.sum(out["moving_labels"] == 5) == 1


@pytest.mark.parametrize("shape", [(20, 24), (10, 12, 14)])
def test_the_compiled_map_is_warp_with_the_maps_flow(shape):
    # The step that XLA compiles, against the public pieces run op by op, borders included.
    data, augment = batch(shape), RandomAffine(translation=0.2)
    matrix, offset = augment.sample(2, len(shape), (3, 4))
    flow, out = affine_flow(matrix, offset * np.array(shape, "float32"), shape), augment(data, (3, 4))
    np.testing.assert_allclose(out["moving"], warp(data["moving"], flow), atol=1e-5)
    differ = out["moving_labels"] != warp(data["moving_labels"][..., None], flow, interpolation="nearest")[..., 0]
    assert np.mean(differ) < 1e-3  # rounding half-way between two voxels


def test_a_pipeline_of_unknown_sizes_moves_images_of_any_size():
    tensors = {"image": tf.TensorSpec((None, None, None, 1)), "labels": tf.TensorSpec((None, None, None), tf.int32)}
    graph = tf.function(lambda tensors: RandomAffine()(tensors, (3, 4)), input_signature=[tensors])
    for shape in ((20, 24), (9, 31)):
        data = {"image": batch(shape)["moving"], "labels": batch(shape)["moving_labels"]}
        out, expected = graph(data), RandomAffine()(data, (3, 4))
        np.testing.assert_allclose(out["image"], expected["image"], atol=1e-5)
        np.testing.assert_array_equal(out["labels"], expected["labels"])


def test_samples_of_a_batch_move_differently():
    matrices, _ = RandomAffine().sample(2, 3, (3, 4))
    assert np.abs(matrices[0] - matrices[1]).max() > 0.01


def test_ranges_of_zero_are_the_identity():
    data = batch()
    out = RandomAffine(**OFF)(data, (3, 4))
    for key, value in data.items():
        np.testing.assert_array_equal(out[key], value)


def test_translation_moves_by_up_to_its_fraction_of_each_side():
    # The authors' translation has no effect.
    augment = RandomAffine(**OFF, translation=0.25)
    _, offset = augment.sample(1000, 2, (5, 6))
    assert 0.24 < np.abs(offset).max() <= 0.25
    ramp = tf.broadcast_to(tf.range(20.0)[None, :, None, None], (1, 20, 24, 1))
    moved = augment({"image": ramp}, (5, 7))["image"] - ramp
    rows = augment.sample(1, 2, (5, 7))[1][0, 0] * 20
    np.testing.assert_allclose(moved[0, 8:12, :, 0], np.full((4, 24), rows), atol=1e-4)


def test_scale_above_one_enlarges_and_flips_occur_half_of_the_time():
    matrices, _ = RandomAffine(rotation=0, scale=(2.0, 2.0), shear=0).sample(1000, 2, (5, 6))
    np.testing.assert_allclose(np.abs(matrices), np.broadcast_to(np.eye(2) / 2, (1000, 2, 2)), atol=1e-6)
    assert abs((matrices.numpy()[:, 0, 0] < 0).mean() - 0.5) < 0.05


def test_equal_seeds_give_equal_maps_in_and_out_of_a_graph():
    augment, data = RandomAffine(), batch()
    first, again, other = augment(data, (3, 4)), tf.function(augment)(data, tf.constant([3, 4])), augment(data, (3, 5))
    np.testing.assert_allclose(first["moving"], again["moving"], atol=1e-5)
    assert np.abs(first["moving"] - other["moving"]).max() > 0.01


def test_dtypes_and_static_shapes_are_kept():
    data = batch()
    out = RandomAffine()(data, (3, 4))
    assert list(out) == list(data)
    assert [(v.dtype, v.shape) for v in out.values()] == [(v.dtype, v.shape) for v in data.values()]


@pytest.mark.parametrize(
    ("name", "value"), [("rotation", -1), ("scale", (1.2, 0.8)), ("scale", 1.1), ("shear", "a"), ("translation", 2)]
)
def test_an_argument_outside_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* Received: {name}="):
        RandomAffine(**{name: value})


def test_tensors_on_different_grids_are_refused():
    with pytest.raises(ValueError, match="share a grid"):
        RandomAffine()({"image": tf.zeros((1, 8, 8, 1)), "labels": tf.zeros((1, 8, 9), tf.int32)}, (0, 1))
