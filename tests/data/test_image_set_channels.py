"""Images of several channels from the files to the batches; labels, flows and landmarks know nothing of them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.transform import downscale_local_mean
from writers import blob, noise, write_any, write_nifti

import deepsim_tf as ds
from deepsim_tf.data import ImageSet, from_csv

SHAPE = (8, 10)


def two_channels(count=4, **changes):
    """Image i is constant i in its first channel and i + 0.5 in its second."""

    def load(i):
        return np.full((*SHAPE, 2), (i, i + 0.5), np.float32), np.full(SHAPE, i % 3)

    arguments = {
        "name": "toy",
        "split": "train",
        "classes": 3,
        "shape": SHAPE,
        "channels": 2,
        "spacing": (1, 1),
        "intensity": "none",
        "pairs": [(i, i + 1) for i in range(count - 1)],
    }
    return ImageSet(load, [f"image {i}" for i in range(count)], **(arguments | changes))


def table(folder, text):
    (folder / "own.csv").write_text(text)
    return folder / "own.csv"


def scaled(array):
    array = array.astype(float)
    return (array - array.min()) / np.ptp(array)


@pytest.mark.parametrize("cache", ["memory", None])
def test_the_batches_hold_every_channel(cache):
    images = two_channels(cache=cache)
    x, y = next(iter(ds.data.registration_dataset(images, 3, training=False)))
    for role, first in (("moving", 0), ("fixed", 1)):
        numbers = np.arange(first, first + 3)
        assert x[role].shape == (3, *SHAPE, 2) and y[f"{role}_labels"].shape == (3, *SHAPE)
        np.testing.assert_array_equal(x[role][:, 0, 0], np.stack([numbers, numbers + 0.5], axis=-1))
    image, labels = next(iter(ds.data.segmentation_dataset(images, 2, training=True)))
    assert image.shape == (2, *SHAPE, 2) and labels.shape == (2, *SHAPE)
    np.testing.assert_array_equal(labels, image[..., 0] % 3)
    image, again = next(iter(ds.data.autoencoder_dataset(images, 2, training=True)))
    np.testing.assert_array_equal(image, again)
    spec = ds.data.registration_dataset(images, 3, training=True).element_spec[0]["moving"]
    assert (spec.shape, spec.dtype) == ((3, *SHAPE, 2), tf.float32)


def test_augmentation_moves_all_channels_alike():
    images = two_channels()
    batches = ds.data.registration_dataset(images, 3, training=True, augment=ds.augmentation.RandomAffine())
    x, _ = next(iter(batches))
    np.testing.assert_allclose(x["moving"][..., 1] - x["moving"][..., 0], 0.5, atol=1e-4)


def test_a_coarser_set_and_a_derived_one_keep_the_channels(rng):
    array = rng.random((*SHAPE, 3)).astype("float32")
    images = ImageSet(
        lambda i: (array, None),
        ["a"],
        name="toy",
        split="train",
        classes=None,
        shape=SHAPE,
        channels=3,
        spacing=(1, 1),
        intensity="none",
        pairs=[],
    )
    assert images.downsampled(2).channels == images.derived(lambda i: (array, None)).channels == images.channels == 3
    np.testing.assert_allclose(images.downsampled(2)[0][0], downscale_local_mean(array, (2, 2, 1)), rtol=1e-6)
    assert repr(images) == "ImageSet('toy', 'train': 1 images (8, 10) of 3 channels, 0 pairs)"


@pytest.mark.parametrize(
    ("channels", "image", "message"),
    [
        (2, (*SHAPE, 1), r"shape \(8, 10, 2\), channels last. Received: shape \(8, 10, 1\)"),
        (1, (*SHAPE, 3), r"shape \(8, 10, 1\), one channel last. Received: shape \(8, 10, 3\)"),
        (0, SHAPE, "toy: channels must be an integer from 1. Received: channels=0"),
        (1.5, SHAPE, "Received: channels=1.5"),
    ],
)
def test_another_number_of_channels_is_refused(channels, image, message):
    with pytest.raises(ValueError, match=message):
        images = two_channels(channels=channels)
        images._check(np.zeros(image), None, "image 0")


def test_what_fits_into_memory_counts_the_channels(monkeypatch):
    monkeypatch.setattr("deepsim_tf.data.image_set.MEMORY", 4 * 2 * 4 * 80)  # of four images with labels
    assert two_channels(channels=1, cache="auto").cached
    assert not two_channels(channels=2, cache="auto").cached


def test_the_folder_keeps_every_channel(tmp_path):
    Image.fromarray(noise((*SHAPE, 3), high=256)).save(tmp_path / "a.png")
    path = table(tmp_path, "image\na.png\n")
    first, second = (from_csv(path, cache=str(tmp_path / "cache")) for _ in range(2))
    np.testing.assert_array_equal(first[0][0], second[0][0])
    assert second[0][0].shape == (*SHAPE, 3) and list((tmp_path / "cache").rglob("*.npz"))


def test_a_colour_file_is_three_channels_under_one_scale(tmp_path):
    array = noise((*SHAPE, 3), high=100)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray(array).save(tmp_path / "b.tif")
    images = from_csv(table(tmp_path, "image\na.png\nb.tif\n"))
    assert (images.channels, images.shape) == (3, SHAPE)
    np.testing.assert_allclose(images[0][0], scaled(array), atol=1e-6)  # the colours stay what they are
    np.testing.assert_array_equal(images[0][0], images[1][0])


@pytest.mark.parametrize("suffix", [".nii.gz", ".tif", ".npy"])
def test_files_of_one_cell_are_the_channels_of_an_image_each_under_its_own_scale(tmp_path, suffix):
    shape, files = (5, 8, 10), []
    for number, factor in enumerate((1, 1000)):
        files.append(noise(shape, "float32", seed=number) * factor)
        write_any(tmp_path / f"t{number + 1}{suffix}", files[-1])
    write_any(tmp_path / f"labels{suffix}", blob(shape, 3))
    text = f"image,labels\nt1{suffix};t2{suffix},labels{suffix}\n"
    image, labels = from_csv(table(tmp_path, text))[0]
    np.testing.assert_allclose(image, np.stack([scaled(file) for file in files], axis=-1), atol=1e-6)
    np.testing.assert_array_equal(labels, blob(shape, 3))


def test_slices_fits_atlas_and_landmarks_go_with_several_channels(tmp_path):
    for name in ("a1", "a2", "b1", "b2"):
        write_nifti(tmp_path / f"{name}.nii.gz", noise((3, 8, 10), seed=ord(name[0]) + int(name[1])), spacing=(1, 2, 3))
    (tmp_path / "points.csv").write_text("1,2,3\n")
    header = "moving,moving_landmarks,fixed,fixed_landmarks\n"
    row = "a1.nii.gz;a2.nii.gz,points.csv,b1.nii.gz;b2.nii.gz,points.csv\n"
    images = from_csv(table(tmp_path, header + row), fit="pad", shape=(3, 10, 10))
    assert images.atlas[0].shape == (3, 10, 10, 2) and images.names == ["a1.nii.gz;a2.nii.gz"]
    assert images.files(0) == [tmp_path / "a1.nii.gz", tmp_path / "a2.nii.gz"]
    np.testing.assert_array_equal(images.landmarks(0)[0], [[1, 3, 3]])
    series = from_csv(table(tmp_path, "image\na1.nii.gz;a2.nii.gz\n"), slices=True, intensity="none")
    assert (series.shape, series.channels, series.names[1]) == ((8, 10), 2, "a1.nii.gz;a2.nii.gz/001")
    expected = [noise((3, 8, 10), seed=ord("a") + number)[1] for number in (1, 2)]
    np.testing.assert_array_equal(series[1][0], np.stack(expected, axis=-1))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_last_axis_of_an_array_holds_channels_where_the_number_is_given(tmp_path, suffix):
    array = noise((*SHAPE, 3), high=256)
    write_any(tmp_path / f"a{suffix}", array)
    path = table(tmp_path, f"image\na{suffix}\n")
    assert (from_csv(path).shape, from_csv(path).channels) == ((*SHAPE, 3), 1)  # a volume, as ever
    images = from_csv(path, channels=3, intensity="fixed:0:256")
    assert (images.shape, images.channels) == (SHAPE, 3)
    np.testing.assert_array_equal(images[0][0], array / np.float32(256))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("grey.png\nrgb.png", {}, r"rgb.png has 3 channels, .*grey.png 1 channel. Expected as many in all images"),
        ("grey.png;rgb.png\ngrey.png", {}, r"grey.png has 1 channel, .*grey.png;.*rgb.png 4 channels"),
        (
            "grey.png;small.png",
            {},
            r"grey.png has shape \(8, 10\), another channel .*small.png \(7, 10\). Expected one",
        ),
        ("t1.nii.gz;far.nii.gz", {}, "t1.nii.gz and .*far.nii.gz have different affines"),
        ("rgb.png", {"channels": 1}, "rgb.png has 3 channels. Expected 1: convert it first"),
        ("grey.png", {"channels": 3}, "grey.png has 1 channel. Expected 3: convert it first"),
        ("rgb.png", {"channels": 0}, "channels must be the number of channels of a file, from 1. Received: channels=0"),
        ("grey.png;flat.png", {}, "flat.png: expected an image with contrast. Received: 7 in every voxel"),
    ],
)
def test_channels_that_do_not_fit_are_named(tmp_path, rows, options, message):
    Image.fromarray(noise((*SHAPE, 3))).save(tmp_path / "rgb.png")
    for name, array in (("grey", noise(SHAPE)), ("small", noise((7, 10))), ("flat", np.full(SHAPE, 7, np.uint8))):
        write_any(tmp_path / f"{name}.png", array)
    write_nifti(tmp_path / "t1.nii.gz", noise((5, 6, 7)))
    write_nifti(tmp_path / "far.nii.gz", noise((5, 6, 7)), origin=(1, 0, 0))
    with pytest.raises(ValueError, match=message):
        list(from_csv(table(tmp_path, f"image\n{rows}\n"), **options))


def test_labels_in_colour_are_refused(tmp_path):
    Image.fromarray(noise((*SHAPE, 3))).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match="rgb.png has 3 channels. Expected labels: one whole number a voxel"):
        from_csv(table(tmp_path, "image,labels\nrgb.png,rgb.png\n"))


def test_the_check_says_how_many_channels_there_are(tmp_path, capsys):
    for name in "ab":
        Image.fromarray(noise((*SHAPE, 3), seed=ord(name))).save(tmp_path / f"{name}.png")
        np.save(tmp_path / f"{name}.npy", noise((*SHAPE, 2), seed=ord(name)))
    for suffix, more, channels in ((".png", [], 3), (".npy", ["--channels", "2"], 2)):
        path = table(tmp_path, f"image,split\na{suffix},train\nb{suffix},val\n")
        assert ds.cli.main(["check", "csv", str(path), "--verbose", "0", *more]) == 0
        assert f"all: 2 images of 8 x 10 with {channels} channels, 2 pairs" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["cells", "brain"])
def test_further_channels_of_a_synthetic_scene_show_another_contrast_under_the_same_flow(kind):
    one, three = (ds.data.synthetic(kind, "train", count=1, channels=channels) for channels in (1, 3))
    np.testing.assert_array_equal(three[0][0][..., :1], one[0][0])
    np.testing.assert_array_equal(three.true_flow(0), one.true_flow(0))
    np.testing.assert_array_equal(three[1][1], one[1][1])
    image, labels = three[0]
    bright, dark = image[labels > 0, 0] > 0.6, image[labels > 0, 0] < 0.4
    assert image[labels > 0, 1][bright].mean() < image[labels > 0, 1][dark].mean() - 0.2
    assert image.min() >= 0 and image.max() <= 1
