"""Who is registered with whom: lists of (moving, fixed) indices."""

SPLITS = ("train", "val", "test")
MOST_PARTNERS = (
    200  # candidates of one image in `everyone`: the list of all pairs of thousands of images would fill the memory
)


def to_atlas(count):
    """Every image to the atlas."""
    return [(i, None) for i in range(count)]


def neighbours(numbers, split):
    """Slices or frames that are close: in train, candidates at distance 1 and 2 both ways; else each to the next one.

    Args:
        numbers: the slice or frame number of each image, by which distance is measured: where one is missing, its
            neighbours are two apart.
        split: "train", or any other.
    """
    index = {number: i for i, number in enumerate(numbers)}
    steps = (-2, -1, 1, 2) if split == "train" else (1,)
    return [(index[n], index[n + step]) for n in numbers for step in steps if n + step in index]


def subjects(count, split):
    """Images of unrelated subjects.

    In train, candidates are all ordered pairs; else image i and image n - 1 - i, both ways.

    No image is paired with itself. Beyond 201 images the candidates of each are the 200 that follow it in the list,
    around its end.
    """
    if split == "train":
        return [
            (i, j)
            for i in range(count)
            for j in sorted((i + step) % count for step in range(1, min(count, MOST_PARTNERS + 1)))
        ]
    return [(i, count - 1 - i) for i in range(count) if i != count - 1 - i]
