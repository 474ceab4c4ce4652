"""What a file of a model holds: its arguments, what is frozen, the weights; and apart from these the parts of its loss.

`model.save("x.keras")` keeps all that training needs. `save_weights` and `load_weights` mean the network, its optimizer
and the states of its random generators alone: the frozen parts of a loss (an extractor, an atlas) belong to the loss,
which a model of the same network may not have, or have another of.
"""

import os
import pathlib
import shutil
import tempfile
import zipfile

import keras

from deepsim_tf import _compat

NO_H5 = "Keras's old .h5 format holds neither the terms of its loss nor what is frozen"


class Saved:
    """Mixin for a keras.Model that is built by its constructor.

    Saved as the arguments named in `ARGUMENTS`, not as a graph.
    """

    ARGUMENTS = ()

    def get_config(self):
        """The arguments of the constructor, with the precision that the layers were made in, and what is frozen.

        Raises:
            ValueError: Keras asks for its .h5 format (`keras.saving.save_model`), which would lose what `compile` got.
        """
        if _compat.writes_legacy_h5():
            raise ValueError(f"A model is saved in a .keras file. Call model.save('model.keras'); {NO_H5}.")
        arguments = {name: getattr(self, name) for name in ("name", *self.ARGUMENTS)}
        return {**arguments, "trainable": self.trainable, "frozen": frozen_parts(self)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the network anew from `get_config`."""
        config = dict(config)
        trainable, frozen = config.pop("trainable", True), config.pop("frozen", ())
        model = cls(**config)
        model.trainable = trainable
        freeze(model, frozen)
        return model

    def get_compile_config(self):
        """What `compile` received, and what was frozen then, where that has changed since."""
        config = super().get_compile_config()
        if config and self._frozen_in_compile != frozen_parts(self):
            config = {**config, "frozen": self._frozen_in_compile}
        return config

    def compile_from_config(self, config):
        """Compile as the saved model was: the optimizer has the variables that trained then."""
        config = dict(config)
        now, then = frozen_parts(self), config.pop("frozen", None)
        if then is not None:
            freeze(self, then)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if then is not None:
            freeze(self, now)

    def compile(self, *args, **kwargs):
        """See keras.Model.compile."""
        super().compile(*args, **kwargs)
        self._frozen_in_compile = frozen_parts(self)
        # An attribute, as Keras does not look for the parts of a loss among the metrics.
        self._measures = _losses([kwargs.get("metrics"), kwargs.get("weighted_metrics")])

    def save(self, filepath, overwrite=True, zipped=None):
        """See keras.Model.save; the name ends in `.keras`.

        Raises:
            ValueError: a name with another ending.
        """
        name, folder = os.fspath(filepath), zipped is False
        if not folder and not name.endswith(".keras"):
            say = "ds.export(model, folder) for TensorFlow Serving"
            if name.endswith(".weights.h5"):
                say = f"model.save_weights({name!r}) for the weights alone"
            elif name.endswith((".h5", ".hdf5")):
                say = NO_H5
            right = name.removesuffix(pathlib.Path(name).suffix).removesuffix(".weights") + ".keras"
            raise ValueError(f"A model is saved in a .keras file. Received: {name}. Call model.save({right!r}); {say}.")
        if folder and overwrite and os.path.isfile(os.path.join(name, "config.json")):
            shutil.rmtree(os.path.join(name, "assets"), ignore_errors=True)  # Keras fails where it is there already
        return super().save(filepath, overwrite=overwrite, zipped=zipped)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        """See keras.Model.save_weights; without the parts of the loss."""
        skipped = self.loss_parts()
        keras.saving.save_weights(
            self, filepath, overwrite=overwrite, max_shard_size=max_shard_size, objects_to_skip=skipped
        )

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """See keras.Model.load_weights; the parts of the loss stay as they are. Reads `.keras` files, too."""
        skipped = self.loss_parts()
        if os.fspath(filepath).endswith(".keras"):
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(filepath) as archive:
                weights = archive.extract("model.weights.h5", folder)
                keras.saving.load_weights(self, weights, skip_mismatch=skip_mismatch, objects_to_skip=skipped, **kwargs)
        else:
            keras.saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, objects_to_skip=skipped, **kwargs)

    def loss_parts(self):
        """All that `compile` took as losses and metrics, a list: their variables are no weights of the model."""
        return _losses([self._compile_loss, self.loss, self._measures]) if self.compiled else []

    def save_own_variables(self, store):
        """Keras's hook: the states of the random generators (dropout), which it leaves out."""
        super().save_own_variables(store)
        for i, state in enumerate(self._generators()):
            store[f"generator_{i}"] = state.numpy()

    def load_own_variables(self, store):
        """Keras's hook: the states of the random generators, where the file has them."""
        stored = {name: store[name] for name in store.keys()}
        states = {name: stored.pop(name) for name in list(stored) if name.startswith("generator_")}
        super().load_own_variables(stored)
        for i, state in enumerate(self._generators()):
            if f"generator_{i}" in states:
                state.assign(states[f"generator_{i}"][()])

    def _generators(self):
        weights = {id(variable) for variable in (*self.weights, *self.metrics_variables)}
        return [variable for variable in self.variables if id(variable) not in weights]


def _losses(given):
    return [part for part in keras.tree.flatten(given) if isinstance(part, keras.losses.Loss)]


def frozen_parts(model):
    """Names of the layers, and of single variables of other layers, that do not train though they could: a list."""
    frozen = []
    for layer in model._flatten_layers(include_self=False):
        if not layer.trainable:
            frozen.append(layer.name)
        else:
            frozen += [f"{layer.name}/{v.name}" for v in layer._trainable_variables if not v.trainable]
    return frozen


def freeze(model, frozen):
    """Let all layers of a model train but those of `frozen_parts`."""
    for layer in model._flatten_layers(include_self=False):  # a layer before those inside it, which it sets too
        layer.trainable = layer.name not in frozen
        for variable in layer._trainable_variables:
            variable.trainable = layer.trainable and f"{layer.name}/{variable.name}" not in frozen
