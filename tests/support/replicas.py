"""A program that compares trainings on one device with trainings on replicas, and prints its results as lines of JSON.

It is a program of its own, because TensorFlow's devices can only be configured at the start of a process. The argument is a
key of `PROGRAMS`.
"""

import gc
import json
import os
import re
import signal
import sys
import traceback
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_mgnet import MgNet, ResNet
from keras_mgnet.layers import Conv, StochasticDepth
from keras_mgnet.layers.operators.norm import synchronize_norms
from keras_mgnet.models.network import check_norms
from keras_mgnet.optimizers import SGD
from keras_mgnet.training.loop.strategy import connect
from keras_mgnet.training.runs.ema import averaged_weights

SHAPE, CLASSES, EPOCHS = (8, 8, 1), 3, 2
DEPTH = {"network": "stochastic_depth"}
UNEVEN = {"images": 17, "batch_size": 7}  # shares of 3 and 4, and of 1 and 2
CASES = {
    "sync_stochastic_depth": UNEVEN | DEPTH | {"sync": True, "ema": 0.5},
    "uneven_xla": UNEVEN | {"network": "no_norms", "jit": True},
}
SLOW_CASES = {
    "halves": {},
    "halves_stochastic_depth": DEPTH,
    "halves_float16": {"dtype": "mixed_float16"},
    "sync": UNEVEN | {"sync": True},
    "halves_xla": {"jit": True},
    "halves_bfloat16": {"dtype": "mixed_bfloat16"},
    "halves_stochastic_depth_xla": DEPTH | {"jit": True},
    "halves_float16_xla": {"dtype": "mixed_float16", "jit": True},
    "overflow_in_first_share": {"dtype": "mixed_float16", "spoiled": 0},
    "overflow_in_last_share": {"dtype": "mixed_float16", "spoiled": -1},
}
WORKER_CASES = ("sync_stochastic_depth",)
SLOW_WORKER_CASES = ("halves_float16", "sync", "uneven_xla")


def build(network, dtype):
    """Returns a small model with L2 regularisers on all kernels, including shared kernels."""
    if network == "no_norms":
        conv, dense = (
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.Dense(CLASSES, name="dense"),
        )
        model = keras.Sequential([keras.Input(SHAPE), conv, keras.layers.Flatten(), dense], name="no_norms")
    elif network == "stochastic_depth":
        options = {"blocks": (2,), "base_width": 2, "survival": 0.5, "share_B": True}
        model = ResNet(8, **options, input_shape=SHAPE, classes=CLASSES, dtype=dtype)
    else:
        model = MgNet((1,), 2, input_shape=SHAPE, classes=CLASSES, dtype=dtype)
    for layer in model._flatten_layers():
        if isinstance(layer, (Conv, keras.layers.Conv2D)):
            layer.kernel.regularizer = keras.regularizers.L2(0.01)
    return model


def data(images=None, batch_size=8, spoiled=None):
    """Returns batches of random images. For images=None the two halves of each batch are equal. Image `spoiled` overflows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(images or 12, *SHAPE)).astype("float32"), rng.integers(0, CLASSES, images or 12)
    if images is None:
        x, y = (np.concatenate([part[i : i + 4] for i in (0, 0, 4, 4, 8, 8)]) for part in (x, y))
    if spoiled is not None:
        x[8:16][spoiled] = 1e6  # in the second step
    return tf.data.Dataset.from_tensor_slices((x, y.astype("int32"))).batch(batch_size)


def own(strategy, batches):
    """Returns this worker's part of each batch, as `pipeline.train_batches` gives it; with one worker, whole batches."""

    def part(x, y):
        count = tf.shape(x)[0]
        places = slice(*strategy.share.of(0, count))
        return x[places], y[places], count

    return batches.map(part) if strategy.workers > 1 else batches


def compiled(strategy, network="mgnet", dtype=None, jit=False, sync=False, ema=0.0):
    """Returns a model that is ready for `fit`."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build(network, dtype)
        if sync:
            synchronize_norms(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = SGD(0.1, 0.9, False, 5e-4, ema_momentum=ema)
        if dtype == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=jit)
    strategy.install(model, jit)
    return model


def train(strategy, images=None, batch_size=8, spoiled=None, **options):
    """Trains, and returns the logs of steps and epochs, and all variables of the model and of the optimiser."""
    model, batches = compiled(strategy, **options), own(strategy, data(images, batch_size, spoiled))
    found = {"steps": [], "epochs": [], "tested": [], "moved": [], "restored": []}
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: found["steps"].append([logs["loss"], logs["accuracy"]])
    )
    for _ in range(EPOCHS):
        logs = model.fit(strategy.distribute(batches), shuffle=False, callbacks=[watch], verbose=0).history
        found["epochs"].append([logs["loss"][0], logs["accuracy"][0]])
        strategy.average_statistics(model)
        before = _copies(model)
        with averaged_weights(model):
            found["moved"].append(not np.array_equal(_copies(model), before))
            found["tested"].append([float(x) for x in model.evaluate(strategy.distribute(data(17, 7)), verbose=0)])
        found["restored"].append(np.array_equal(_copies(model), before))
    for part, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        found |= {f"{part} {i} {variable.name}": variable.numpy().tolist() for i, variable in enumerate(variables)}
    return found


def _copies(model):
    """Returns the trainable weights of each replica of this process, (replicas, weights)."""
    values = [getattr(variable.value, "values", [variable.value]) for variable in model.trainable_variables]
    return np.stack([np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*values, strict=True)])


def statistics(strategy):
    """Returns the largest difference of a replica's moving statistic from the mean over replicas: before and after averaging."""
    model = compiled(strategy)
    model.fit(strategy.distribute(data(16, 8)), shuffle=False, verbose=0)
    before = _of_each_replica(model)
    strategy.average_statistics(model)
    mean = before.mean(axis=0)
    return [float(np.abs(values - mean).max()) for values in (before, _of_each_replica(model))]


def _of_each_replica(model):
    moving = [variable.value for variable in model.non_trainable_variables if "moving" in variable.path]
    return np.stack(
        [np.concatenate([part.numpy() for part in parts]) for parts in zip(*(v.values for v in moving), strict=True)]
    )


def draws(strategy):
    """Returns whether two replicas draw the same random numbers: in dropout (per image), and in stochastic depth (per batch)."""
    with strategy.scope():
        x = keras.Input((64,))
        model = keras.Model(x, [keras.layers.Dropout(0.5)(x), StochasticDepth((0.5,))(x)])
        model.compile("sgd", "mse")
    strategy.install(model, False)
    strategy.install(model, False)  # a second time changes nothing
    drawn = [strategy._strategy.run(lambda: model(tf.ones((1, 64)), training=True)) for _ in range(8)]
    return [all(np.array_equal(*(part.numpy() for part in one[i].values)) for one in drawn) for i in range(2)]


def plain(strategy):
    """Returns what Keras' own `fit` warns of. Synchronised norms are no reason to."""
    with strategy.scope():
        model = build("mgnet", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model.fit(*data(16, 16).get_single_element())
        except UserWarning as warning:
            synchronize_norms(model)
            check_norms(model)
            return str(warning)


def mirrored(cases):
    """Trains each case on one device and on two replicas. Returns {name: [result of one, result of two]}."""
    one, two = connect("one"), connect("auto")
    return {name: [train(one, **case), train(two, **case)] for name, case in cases.items()}


def mirrored_quick():
    """Prints the results of the fast cases, and properties of the strategy on two replicas."""
    report, two = mirrored(CASES), connect("auto")
    found = {"statistics": statistics(two), "draws": draws(two), "plain": plain(two)}
    print(json.dumps(report | found | {"connected": connected(two)}))


def split_cpu():
    """Splits the CPU into two logical devices. Must be called before TensorFlow uses the CPU."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def connected(strategy):
    """Returns name, number of replicas, number of workers of a strategy, and whether this process is the chief."""
    return [strategy.name, strategy.replicas, strategy.workers, strategy.is_chief]


def with_others(names):
    """Trains some cases together with the other workers and prints the results. Returns the strategy."""
    strategy = connect("auto")
    report = {name: train(strategy, **(CASES | SLOW_CASES)[name]) for name in names}
    print(json.dumps(report | {"connected": connected(strategy)}), flush=True)
    return strategy


def worker():
    """Trains `WORKER_CASES`, then starts a training in which all workers but the chief kill themselves."""
    strategy = with_others(WORKER_CASES)
    model = compiled(strategy)
    dies = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (
            batch == 2 and not strategy.is_chief and os.kill(os.getpid(), signal.SIGKILL)
        )
    )
    try:
        model.fit(strategy.distribute(data().repeat(1000)), shuffle=False, callbacks=[dies], verbose=0)
    except ConnectionError as error:
        print(json.dumps({"error": str(error)}), flush=True)


def flat(*names):
    """Prints threads and resident memory (kB) of each strategy after each fit: 20 fits of 3 steps, then 3 fits of 100."""
    report = {}
    for name in names:
        strategy = connect(name)
        model = compiled(strategy)
        report[name] = [_fit(strategy, model, 3) for _ in range(20)] + [_fit(strategy, model, 100) for _ in range(3)]
    print(json.dumps(report))


def _fit(strategy, model, steps):
    model.fit(strategy.distribute(data().repeat().take(steps)), shuffle=False, verbose=0)
    strategy.average_statistics(model)
    model.evaluate(strategy.distribute(data()), verbose=0)
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return [int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("Threads", "VmRSS")]


def quick(out, *configs):
    """Runs `mirrored_quick`, and a `worker` for each TF_CONFIG, in forks of this process. Their outputs are OUT/0, OUT/1, ...

    What is imported is so imported once, and TensorFlow does not start before the forks.
    """
    programs = [(mirrored_quick, None), *((worker, config) for config in configs)]
    children = [_fork(Path(out, str(i)), *program) for i, program in enumerate(programs)]
    for child in children:
        os.waitpid(child, 0)  # the second worker has killed itself


def _fork(output, program, config):
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
        if config is None:
            split_cpu()
        else:
            os.environ["TF_CONFIG"] = config
        program()
        sys.stdout.flush()
    except Exception:
        traceback.print_exc()
    os._exit(0)


PROGRAMS = {
    "quick": quick,
    "mirrored_slow": lambda: print(json.dumps(mirrored(CASES | SLOW_CASES))),
    "worker_slow": lambda: with_others(SLOW_WORKER_CASES),
    "flat": lambda: flat("one", "mirrored"),
    "flat_worker": lambda: flat("multiworker"),
}
if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name != "quick" and "TF_CONFIG" not in os.environ:
        split_cpu()
    PROGRAMS[name](*arguments)
