"""The paths of variables say what they belong to, in every process alike, and no two are the same."""

import deepsim_tf as ds  # isort: skip
import keras

from deepsim_tf.training import paths


def in_a_row(*layers):
    """A functional model of the layers, whose name is no part of its weights' paths; a Sequential's is."""
    x = inputs = keras.Input((2,))
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_paths_do_not_depend_on_what_else_the_process_has_made():
    weights = {f"{layer}/{name}" for layer in ("dense", "dense_1") for name in ("kernel", "bias")}
    expected = weights | {f"adam/{path}/{moment}" for path in weights for moment in ("momentum", "velocity")}
    expected |= {"dropout/seed_generator/seed_generator_state", "adam/iteration", "adam/learning_rate"}
    for _ in range(2):  # Keras counts on: dense_2, seed_generator_1, adam_1
        model = in_a_row(keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(1))
        assert set(paths.state_variables(model)) == expected


def test_names_that_a_user_numbered_are_kept():
    model = in_a_row(*(keras.layers.Dense(2, name=f"level_{n}") for n in (7, 3)))
    found = paths.state_variables(model)
    assert found["level_7/kernel"] is model.layers[1].kernel and found["level_3/kernel"] is model.layers[2].kernel
    assert found["adam/level_3/kernel/velocity"].path.endswith("level_3_kernel_velocity")


def test_variables_that_share_a_path_are_told_apart():
    class Twice(keras.layers.Layer):
        def build(self, shape):
            self.first, self.second = (self.add_weight(shape=(1,), name="scale") for _ in range(2))

        def call(self, x):
            return x * self.first + self.second

    model = in_a_row(Twice(name="twice"))
    found = paths.state_variables(model)
    assert found["twice/scale"] is model.layers[1].first and found["twice/scale:2"] is model.layers[1].second
    assert len(found) == len([*model.variables, *model.optimizer.variables])


def test_the_variables_of_a_registration_are_all_there_by_name():
    def made():
        model = ds.models.registration_model((8, 8), backbone="paper", features=(2,))
        model.compile("adam", "mse", accumulation=2)
        return model

    model, other = made(), made()
    found = paths.state_variables(model)
    assert list(found) == list(paths.state_variables(other))
    assert len(found) == len([*model.variables, *model.update_state, *model.optimizer.variables])
    assert {"accumulation/batches", "adam/learning_rate"} < set(found)
    for weight in model.trainable_variables:
        name = next(path for path, variable in found.items() if variable is weight)
        assert found[f"accumulation/{name}"].shape == found[f"adam/{name}/momentum"].shape == weight.shape
    assert list(paths.metric_variables(model)) == list(paths.metric_variables(other))
    assert len(paths.metric_variables(model)) == len(model.metrics_variables)
