import re

import numpy as np
import pytest

from deepsim_tf.inference import Field
from deepsim_tf.inference.doubts import doubts, outside_share

SHAPE = (20, 40)
IMAGES = {name: np.full((*SHAPE, 1), 0.5) for name in ("moving", "fixed")}
GOOD = {"measure": "LocalNCC (loss)", "before": 0.7, "after": 0.4, "better": "lower"}


def field(vector=(0.0, 0.0)):
    return Field(np.broadcast_to(np.float32(vector), (*SHAPE, 2)).copy(), np.diag([2.0, 0.5, 1]))


def doubted(**changes):
    usual = {"similarity": GOOD, "folds": 0.0, "field": field(), "affine": None, "outside": 0.0, "images": IMAGES}
    return list(doubts(**{**usual, **changes}))


def test_a_good_result_is_not_doubted():
    assert doubted() == [] and doubted(similarity=None) == []
    assert doubted(similarity={**GOOD, "before": 0.2, "after": 0.3, "better": "higher"}) == []
    assert doubted(folds=0.01, outside=0.2, field=field((9.9, 0))) == []  # 20 rows of 2 mm: a quarter is 10 mm


CASES = {
    "no better": ({"similarity": {**GOOD, "after": 0.7}}, "did not improve .LocalNCC .loss. 0.7 before, 0.7 after"),
    "worse": ({"similarity": {**GOOD, "better": "higher"}}, "did not improve"),
    "folds": ({"folds": 0.011}, "folds at 1.1 % of the voxels"),
    "far": ({"field": field((10.1, 0))}, "by 0.25 of the longest side of the image: "),
    "outside": ({"outside": 0.21}, "21 % of the fixed image lie outside"),
    "bright": ({"images": {**IMAGES, "moving": np.full((*SHAPE, 1), 3.0)}}, "100 % of the moving image's intensities"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_doubt_is_one_sentence_with_its_number(case):
    changes, message = CASES[case]
    (sentence,) = doubted(**changes)
    assert re.search(message, sentence)


def test_an_affine_part_may_move_things_far():
    shift = np.eye(3)
    shift[0, 2] = 15
    assert doubted(field=field((15, 1)), affine=shift) == []
    (sentence,) = doubted(field=field((15 + 11, 0)), affine=shift)
    assert "by 0.28 of the longest side of the image beyond its affine part" in sentence


def test_the_share_outside_is_that_of_voxels_whose_partner_is_beyond_the_moving_image():
    # Rows of 2 mm are sent 10 mm on; those beyond 38 mm, the edge of 10 rows of 4 mm, are the last 5.
    assert outside_share(field((10, 0)), np.diag([4.0, 0.5, 1]), (10, 40)) == pytest.approx(5 / 20)
    assert outside_share(field(), np.diag([2.0, 0.5, 1]), SHAPE) == 0
