"""What the tests of refinement share: the models' shape, the flow to start with, and the network's own."""

import numpy as np

SHAPE = (18, 22)  # no multiple of what the network needs: it pads


def zero(shape=SHAPE):
    return np.zeros((*shape, len(shape)), "float32")


def predicted(model, moving, fixed):
    return model.predict_on_batch({"moving": moving[None], "fixed": fixed[None]})["flow"][0]
