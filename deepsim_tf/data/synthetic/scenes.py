"""Random anatomies for `synthetic`: shapes that can be painted at any coordinates, warped ones too."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Look:
    """How one class of structures looks. Lengths in voxels, intensities before brightness and noise."""

    label: int
    intensity: float
    rim: float = 0.0  # added along the outline: negative for a membrane, positive for a halo
    rim_offset: float = 0.0  # where the rim's middle lies, outwards from the outline
    rim_width: float = 1.0


class Blob:
    """An ellipse or ellipsoid with a wavy outline, and its look.

    In the coordinates y = R (x - centre) / radii, a point is inside where |y| (1 + wave(y / |y|)) < 1.

    Args:
        random: numpy Generator that draws orientation and waves.
        centre, radii: one number per axis, in voxels.
        look: a Look.
        waves: amplitude of the outline's waves, relative to the radius.
        detail: how many waves go round, about.
        turn: whether the ellipse is turned at random (2-D only).
    """

    def __init__(self, random, centre, radii, look, *, waves=0.06, detail=2.5, turn=True):
        self.centre, self.look, ndim = np.asarray(centre, float), look, len(centre)
        self.radii = np.broadcast_to(np.asarray(radii, float), ndim)
        angle = random.uniform(0, np.pi) if turn and ndim == 2 else 0.0
        axes = np.eye(ndim)
        axes[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        self.matrix = (axes / self.radii[:, None]).astype(np.float32)
        self.shift = self.matrix @ self.centre.astype(np.float32)[:, None]
        self.frequencies = random.normal(0, detail, (3, ndim)).astype(np.float32)
        self.phases = random.uniform(0, 2 * np.pi, (3, 1)).astype(np.float32)
        self.amplitude = np.float32(waves / np.sqrt(3))
        self.mean_radius = np.float32(self.radii.prod() ** (1 / ndim))
        self.reach = self.radii.max() / max(0.5, 1 - 1.8 * waves)

    def distance(self, points):
        """Signed distance to the outline, in voxels, about: negative inside. Points (ndim, ...) -> (...)."""
        ndim = len(self.centre)
        y = (self.matrix @ points.reshape(ndim, -1)) - self.shift  # (ndim, voxels)
        norm = np.sqrt(np.einsum("dv,dv->v", y, y))
        wave = np.sin(self.frequencies @ (y / (norm + np.float32(1e-3))) + self.phases).sum(0)
        # |y| is one on the outline; the mean radius turns it into voxels.
        distance = (norm * (1 + self.amplitude * wave) - 1) * self.mean_radius
        return distance.reshape(points.shape[1:])


def paint(blobs, points, background, reach):
    """Paint blobs, the later over the earlier, as seen at `points`.

    Args:
        blobs: list of Blob.
        points: (ndim, *shape) float32, where the anatomy is sampled: the grid, or grid + flow.
        background: intensity where there is no blob.
        reach: largest distance of a point from its own voxel, in voxels.

    Returns:
        intensity (*shape) float32 and labels (*shape) int32.
    """
    shape = points.shape[1:]
    image, labels = np.full(shape, background, np.float32), np.zeros(shape, np.int32)
    for blob in blobs:
        look = blob.look
        # Only the box that the blob can reach: ten times faster than the whole grid.
        extent = blob.reach + reach + abs(look.rim_offset) + 3 * look.rim_width
        box = tuple(slice(max(0, int(c - extent)), max(0, int(c + extent) + 2)) for c in blob.centre)
        distance = blob.distance(points[(slice(None), *box)])
        inside = np.clip(0.5 - distance, 0, 1)  # an outline one voxel wide, not a staircase
        image[box] += inside * (look.intensity - image[box])
        if look.rim:
            image[box] += look.rim * np.exp(-(((distance - look.rim_offset) / look.rim_width) ** 2))
        labels[box][distance < 0] = look.label
    return image, labels


def platelet(random, size):
    """Cells with organelles, as in electron microscopy: 0 background, 1 cytoplasm, 2 organelles."""
    unit = min(size) / 128
    cell = Look(1, 0.55, rim=-0.18, rim_width=max(0.8, 1.1 * unit))
    cells, organelles = [], []
    for centre in _spread(random, size, 30 * unit, 60):
        cells.append(Blob(random, centre, random.uniform(15, 25, 2) * unit, cell, waves=0.12))
    for owner in cells:
        for centre in _inside(random, owner, 9 * unit, int(random.integers(2, 6))):
            organelles.append(_organelle(random, centre, unit))
    extras = [
        [
            _organelle(random, centre, unit, 0.6)
            for o in _some(random, cells, 2)
            for centre in _inside(random, o, 5 * unit, 1)
        ]
        for _ in "mf"
    ]
    return cells + organelles, extras


def cells(random, size):
    """Cells with a bright rim, as in phase contrast, whose inside is as grey as the background.

    0 background, 1 cell.
    """
    unit = min(size) / 128
    look = Look(1, 0.38, rim=0.27, rim_offset=1.5 * unit, rim_width=2.0 * unit)
    nucleus = Look(1, 0.52, rim=0.06, rim_width=1.5 * unit)
    blobs = []
    for centre in _spread(
        random, size, 34 * unit, 30, most=int(6 * np.prod([n / min(size) for n in size]) + random.integers(0, 3))
    ):
        body = Blob(random, centre, random.uniform(8, 17, 2) * unit, look, waves=0.14, detail=3.0)
        blobs += [body, Blob(random, centre + random.uniform(-2, 2, 2) * unit, 3.5 * unit, nucleus)]
    debris = Look(1, 0.45, rim=0.15, rim_offset=0.5 * unit, rim_width=1.5 * unit)
    extras = [
        [Blob(random, random.uniform(0.1, 0.9, 2) * size, random.uniform(1.5, 2.5) * unit, debris) for _ in range(2)]
        for _ in "mf"
    ]
    return blobs, extras


def brain(random, size):
    """A skull-stripped brain.

    0 background, 1 cortex, 2 white matter, 3 ventricles, 4 deep grey matter, 5 cerebellum.
    """
    size = np.asarray(size, float)
    unit = min(size) / 48

    def at(*fraction, jitter=0.012):
        return (np.asarray(fraction) + random.normal(0, jitter, 3)) * size

    def spread(radii):
        return np.asarray(radii) * size * random.uniform(0.92, 1.08, 3)

    grey, white = Look(1, 0.5), Look(2, 0.72)
    ventricle, deep, cerebellum = Look(3, 0.2), Look(4, 0.56), Look(5, 0.42)
    middle = at(0.5, 0.5, 0.55)
    blobs = [
        Blob(random, at(0.5, 0.27, 0.24), spread((0.28, 0.17, 0.16)), cerebellum, waves=0.04, detail=6.0),
        Blob(random, middle, np.array((0.43, 0.46, 0.38)) * size, grey, waves=0.04, detail=7.0),
        Blob(random, middle, np.array((0.33, 0.36, 0.29)) * size, white, waves=0.1, detail=7.0),
    ]
    for side in (-1, 1):
        blobs.append(Blob(random, at(0.5 + side * 0.08, 0.5, 0.61), spread((0.055, 0.2, 0.075)), ventricle, waves=0.08))
        blobs.append(Blob(random, at(0.5 + side * 0.18, 0.57, 0.53), spread((0.075, 0.12, 0.1)), deep, waves=0.06))
        blobs.append(Blob(random, at(0.5 + side * 0.09, 0.4, 0.47), spread((0.075, 0.1, 0.075)), deep, waves=0.06))
    lesion = [Look(4, 0.56), Look(3, 0.3)]
    extras = [
        [
            Blob(random, c, random.uniform(1.1, 1.5) * unit, look)
            for look in lesion
            for c in _inside(random, blobs[2], 2 * unit, 1)
        ]
        for _ in "mf"
    ]
    return blobs, extras


def _organelle(random, centre, unit, factor=1.0):
    look = Look(2, random.uniform(0.28, 0.4), rim=-0.06, rim_width=max(0.8, 0.8 * unit))
    return Blob(random, centre, random.uniform(3.5, 6.5, 2) * unit * factor, look, waves=0.08)


def _spread(random, size, apart, tries, most=1000):
    """Points on the grid and a little beyond, no two nearer than `apart`."""
    return _apart(random.uniform(-0.05, 1.05, (tries, len(size))) * size, apart, most)


def _inside(random, blob, margin, count):
    """Up to `count` points at least `margin` voxels inside a blob, no two nearer than 1.6 margins."""
    points = blob.centre + random.uniform(-1, 1, (6 * count, len(blob.centre))) * blob.radii.max()
    return _apart(points[blob.distance(points.T.astype(np.float32)) < -margin], 1.6 * margin, count)


def _apart(points, least, most):
    """The first `most` points (n, ndim) that are `least` from all that were kept before them."""
    near = ((points[:, None] - points) ** 2).sum(-1) < least**2
    kept = []
    for i in range(len(points)):
        if len(kept) < most and not near[i, kept].any():
            kept.append(i)
    return points[kept]


def _some(random, items, count):
    return [items[i] for i in random.permutation(len(items))[:count]]
