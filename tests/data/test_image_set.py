import threading

import numpy as np
import pytest
from skimage.transform import downscale_local_mean

from deepsim_tf.data import ImageSet


def image_set(images, labels=None, **changes):
    settings = {
        "name": "toy",
        "split": "train",
        "classes": 3,
        "shape": images[0].shape[:-1],
        "spacing": (0.5, 2.0),
        "intensity": "none",
        "pairs": [(0, 1)],
    } | changes
    return ImageSet(lambda i: (images[i], None if labels is None else labels[i]), ["a", "b"], **settings)


def random_images(shape=(7, 9)):
    rng = np.random.default_rng(0)
    return rng.random((2, *shape, 1)), rng.integers(0, 3, (2, *shape))


def test_an_item_is_a_float32_image_with_int32_labels():
    images, labels = random_images()
    data = image_set(images, labels)
    assert len(data) == 2 and data.pairs() == [(0, 1)] and data.names == ["a", "b"]
    assert [(part.dtype, part.shape) for part in data[1]] == [(np.float32, (7, 9, 1)), (np.int32, (7, 9))]
    np.testing.assert_array_equal(data.pair(0)[3], labels[1])


def test_a_for_loop_ends_and_negative_indices_count_from_the_end():
    data = image_set(*random_images())
    assert len(list(data)) == 2
    np.testing.assert_array_equal(data[-1][0], data[1][0])


@pytest.mark.parametrize(("cache", "loads"), [("memory", 1), (None, 3)])
def test_the_cache_loads_once(cache, loads):
    images, calls = random_images()[0], []
    data = image_set(images, cache=cache)
    data._load = lambda i: calls.append(i) or (images[i], None)
    for _ in range(3):
        data[0]
    assert len(calls) == loads


def test_an_atlas_is_the_fixed_image_of_its_pairs():
    images, labels = random_images()
    data = image_set(images, labels, pairs=[(0, None), (1, None)], atlas=(images[0] / 2, labels[0]))
    np.testing.assert_allclose(data.pair(1)[1], images[0] / 2, rtol=1e-6)
    np.testing.assert_array_equal(data.pair(1)[3], labels[0])
    with pytest.raises(ValueError, match="need an atlas"):
        image_set(images, labels, pairs=[(0, None)])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((7, 9, 1), np.nan), "toy, image b: expected finite intensities. Received: 63 voxels"),
        (np.full((7, 9, 1), 1e300), "finite"),
        (np.ones((7, 9, 1), np.uint8), "floating-point intensities.* Received: uint8"),
        (np.ones((7, 9)), r"shape \(7, 9, 1\), one channel last. Received: shape \(7, 9\)"),
        (np.ones((7, 9, 3)), r"Received: shape \(7, 9, 3\)"),
    ],
)
def test_a_bad_image_is_named(image, message):
    with pytest.raises(ValueError, match=message):
        image_set([random_images()[0][0], image])[1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((7, 9), 3), "toy, image b: expected labels from 0 to 2. Received: 3 to 3"),
        (np.full((7, 9), -1), "Received: -1 to -1"),
        (np.ones((7, 9)), "integer labels. Received: float64"),
        (np.ones((7, 8), int), r"labels of the image's shape \(7, 9\). Received: shape \(7, 8\)"),
    ],
)
def test_bad_labels_are_named(labels, message):
    images, good = random_images()
    with pytest.raises(ValueError, match=message):
        image_set(images, [good[0], labels])[1]


def test_downsampling_is_scikit_images_mean_and_the_nearest_label():
    images, labels = random_images((7, 10))
    data = image_set(images, labels, true_flow=lambda k: np.full((7, 10, 2), 3.0)).downsampled(3)
    np.testing.assert_allclose(data[0][0], downscale_local_mean(images[0, :6, :9, 0], (3, 3))[..., None], rtol=1e-6)
    np.testing.assert_array_equal(data[0][1], labels[0, 1:6:3, 1:9:3])  # the middle of three
    assert (data.shape, data.spacing, data.name, data.pairs()) == ((2, 3), (1.5, 6.0), "toy", [(0, 1)])
    np.testing.assert_allclose(data.true_flow(0), np.ones((2, 3, 2)))  # three fine voxels are one coarse voxel


@pytest.mark.parametrize("factor", [0, 8, 1.5])
def test_a_factor_that_leaves_nothing_is_refused(factor):
    with pytest.raises(ValueError, match="factor must be an integer from 1"):
        image_set(*random_images()).downsampled(factor)


def test_the_true_flow_of_real_data_is_refused():
    with pytest.raises(ValueError, match="true flow of 'toy' is unknown"):
        image_set(*random_images()).true_flow(0)


def test_cached_arrays_cannot_be_changed_by_accident():
    data = image_set(*random_images())
    data.stack()
    with pytest.raises(ValueError, match="read-only"):
        data[0][0][0] = 5


def test_check_collects_all_problems_or_raises_the_first():
    images = np.stack([np.full((7, 9, 1), np.nan)] * 2)
    problems = ["something known"]
    image_set(images).check(problems=problems)
    assert problems[0] == "something known" and [problem[:12] for problem in problems[1:]] == [
        "toy, image a",
        "toy, image b",
    ]
    image_set(images).check(problems=problems)  # nothing twice
    assert len(problems) == 3
    with pytest.raises(
        ValueError, match=r"toy, image a: expected finite .* \(1 more problems in toy: `deepsim check` lists them.\)"
    ):
        image_set(images, cache=None).check()


def test_check_of_a_set_that_caches_loads_it():
    images, calls = random_images()[0], []
    data = image_set(images)
    data._load = lambda i: calls.append(i) or (images[i], None)
    data.check()
    assert sorted(calls) == [0, 1]
    np.testing.assert_array_equal(data.stack()[0], images.astype(np.float32))
    assert len(calls) == 2


def test_images_are_read_in_parallel(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    images, barrier = random_images()[0], threading.Barrier(2, timeout=20)

    def load(i):
        barrier.wait()  # until the other one is being read too
        return images[i], None

    data = image_set(images, cache=None)
    data._load = load
    data.check()


def test_an_error_of_another_kind_is_not_collected():
    data = image_set(random_images()[0], cache=None)
    data._load = lambda i: 1 / 0
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        data.check(problems=[])


def test_labels_of_some_images_are_refused():
    images, labels = random_images()
    with pytest.raises(ValueError, match="toy: a has labels, b is different. Label all or none"):
        image_set(images, [labels[0], None]).stack()


def test_files_are_those_that_are_read():
    images = random_images()[0]
    assert image_set(images).files(0) == []
    assert image_set(images, files=lambda i: (f"{i}.png", f"l{i}.png")).files(1) == ["1.png", "l1.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"spacing": (1, 1, 1)},
            r"toy: expected one spacing per axis of shape \(7, 9\). Received: spacing=\(1.0, 1.0, 1.0\)",
        ),
        ({"pairs": [(0, 2)]}, r"toy: pair \(0, 2\) is outside the 2 images"),
        (
            {"cache": "a folder"},
            'toy: cache must be "memory", "auto", None, or a folder .for images from files.. Received: cache=.a'
            " folder.",
        ),
        ({"cache": 3, "files": lambda i: []}, "Received: cache=3"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        image_set(random_images()[0], **changes)


@pytest.mark.parametrize(
    ("fit", "factor", "expected"),
    [(None, 2, None), ("pad", 2, "pad:2"), ("pad:2", 2, "pad:4"), ("resample", 2, "resample"), ("pad", 1, "pad:1")],
)
def test_a_coarser_set_says_how_files_come_to_its_grid(fit, factor, expected):
    assert image_set(random_images()[0], fit=fit).downsampled(factor).fit == expected
