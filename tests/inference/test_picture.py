"""The picture of a registered pair: what lies where in the world, in grey and in colour."""

import numpy as np
import pytest
from matplotlib.image import imread
from scenes import affine, world

from deepsim_tf.grids.world import pixel_affine
from deepsim_tf.inference import Field, picture


@pytest.fixture
def planes(monkeypatch):
    """`planes(images, field)`: the planes that `save_picture` hands on to be drawn."""

    def make(images, field):
        found = {}
        monkeypatch.setattr(picture, "save_overview", lambda path, planes, *rest, **more: found.update(planes=planes))
        picture.save_picture("unused.png", images, field)
        return found["planes"]

    return make


@pytest.mark.parametrize("channels", [(), (3,), (2,)])
@pytest.mark.parametrize("axes", ["RAS", "LSP", "PIR"])
def test_a_volume_is_shown_as_it_lies_in_the_world(axes, channels, planes):
    # A ball, around which the slices go, and in each of the planes through it a brighter voxel beside it.
    shape = (15, 15, 15)
    voxels = affine(shape, (1, 1, 1), axes)
    places = world(shape, voxels)
    image = (np.linalg.norm(places, axis=-1) < 4).astype("float32")
    for right, anterior, superior in ((5, 3, 0), (3, 0, 5), (0, 5, 3)):
        image[np.isclose(places, (right, anterior, superior)).all(axis=-1)] = 2
    image = np.broadcast_to(image[(..., *[None] * len(channels))], (*shape, *channels))
    vectors = np.broadcast_to(np.float32([1, 2, 3]), (*shape, 3))  # right, anterior, superior
    found = planes({"fixed": image, "moving": image, "warped": image}, Field(vectors, voxels))
    for plane, (up, right), (flow_up, flow_right) in zip(
        found, ((3, 5), (5, 3), (3, 5)), ((2, 1), (3, 1), (3, 2)), strict=True
    ):
        shown = plane.images["fixed"]
        assert shown.shape == (15, 15, *(channels if channels == (3,) else ()))
        brightest = np.argwhere((shown if shown.ndim == 2 else shown[..., 0]) == 2)
        np.testing.assert_array_equal(brightest, [[7 + up, 7 + right]])
        np.testing.assert_allclose(plane.flow, np.broadcast_to([flow_up, flow_right], (15, 15, 2)), atol=1e-5)
    assert [plane.name for plane in found] == ["axial", "coronal", "sagittal"]
    assert found[0].ends == ("R", "L", "A", "P")


def test_an_image_without_header_is_shown_as_it_is_stored(planes):
    image = np.arange(12.0).reshape(3, 4)
    flow = np.broadcast_to(np.float32([1, 2]), (3, 4, 2))  # down, to the right
    field = Field((flow @ pixel_affine(2)[:2, :2].T).astype("float32"), pixel_affine(2), "pixels")
    (plane,) = planes({"fixed": image, "moving": image, "warped": image}, field)
    np.testing.assert_array_equal(plane.images["fixed"][::-1], image)  # rows upwards
    np.testing.assert_array_equal(plane.flow, np.broadcast_to([-1, 2], (3, 4, 2)))


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,)])
@pytest.mark.parametrize("shape", [(24, 20), (12, 14, 10)])
def test_files_are_written_in_grey_and_in_colour(shape, channels, tmp_path, rng):
    image = rng.random((*shape, *channels)).astype("float32")
    image[image < 0.3] = 0
    ndim = len(shape)
    fields = [Field(np.zeros((*shape, ndim), "float32"), pixel_affine(ndim), "pixels")]
    fields += [Field(np.zeros((*shape, ndim), "float32"), affine((*shape, 1)[:3])[: ndim + 1, : ndim + 1])]
    for k, field in enumerate(fields):
        picture.save_picture(tmp_path / f"{k}.png", {"fixed": image, "moving": image[::-1], "warped": image}, field)
        drawn = imread(tmp_path / f"{k}.png")[..., :3]
        assert drawn.std() > 0.02
        colour = np.ptp(drawn[: len(drawn) // 3, : drawn.shape[1] // 5], axis=-1).mean() > 0.1
        assert colour == (channels == (3,))  # beyond the outlines
