import numpy as np
import pytest

from deepsim_tf import metrics
from deepsim_tf.layers.determinant import jacobian_determinant


@pytest.mark.parametrize("shape", [(2, 5), (7, 6), (4, 5, 3)])
def test_the_graph_has_the_numbers_of_the_metric(shape):
    flow = np.random.default_rng(0).normal(size=(2, *shape, len(shape)))
    expected = [metrics.jacobian_determinant(one) for one in flow]
    np.testing.assert_allclose(jacobian_determinant(flow), expected, atol=1e-12)
