"""What both networks do differently from a plain Keras model: errors that can be read, and no XLA unless asked for."""

import contextlib

import keras
import tensorflow as tf

from deepsim_tf import checks


@contextlib.contextmanager
def dtype_policy(name):
    """Build layers under a dtype policy, by name; None keeps the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Checked:
    """Mixin for a keras.Model (no subclass of one: Keras would turn the subclasses of both into functional models)."""

    def compile(self, *args, jit_compile=False, **kwargs):
        """See keras.Model.compile.

        Without XLA by default: it makes convolutions on a CPU several times slower (benchmarks/README.md).
        """
        super().compile(*args, jit_compile=jit_compile, **kwargs)
        # Keras would do it in the first step, which makes TensorFlow trace the step twice.
        self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        """Compile as the saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, *args, **kwargs):
        """See keras.Model.fit. Raises ValueError on integer images, NaN or infinity, and labels outside `classes`."""
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # the dataset shuffles; Keras would only warn that it cannot
        checks.equal_counts(x)
        with checks.graph_errors():
            return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """See keras.Model.evaluate; the same checks as `fit`."""
        checks.equal_counts(x)
        with checks.graph_errors():
            return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """See keras.Model.predict; the same checks as `fit`."""
        checks.equal_counts(x)
        with checks.graph_errors():
            return super().predict(x, *args, **kwargs)


class Rebuilt:
    """Mixin for a functional keras.Model that is built by its constructor.

    Saved as the arguments named in `ARGUMENTS`, not as a graph.
    """

    ARGUMENTS = ()

    def get_config(self):
        """The arguments of the constructor, with the precision that the layers were made in."""
        return {**{name: getattr(self, name) for name in ("name", *self.ARGUMENTS)}, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the network anew from `get_config`."""
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        return model


class TakesImages(Rebuilt):
    """Mixin for a functional keras.Model of one input, images (batch, *shape, channels): the checks of these."""

    WHO = MADE_BY = None  # see `checks.images_of_model`

    def __call__(self, inputs, *args, **kwargs):
        """Check the images, here because Keras would take some of another rank."""
        checks.images_of_model(self.WHO, self.MADE_BY, self.shape, self.channels, images=inputs)
        checks.float_images(self.WHO, images=inputs)
        return super().__call__(inputs, *args, **kwargs)

    def finite(self, images):
        """The images again, after a check that their voxels are finite numbers."""
        checks.float_images(self.WHO, images=images)
        return checks.finite_in_graph(self.WHO, images=images)[0]

    def predict_step(self, data):
        """Predict, after a check of the images."""
        return self(self.finite(keras.utils.unpack_x_y_sample_weight(data)[0]), training=False)
