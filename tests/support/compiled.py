"""Small networks that are compiled and fitted to digits as in a run."""

from keras_mgnet import create_model
from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.data.pipeline import test_batches as batches_of_test
from keras_mgnet.training.data.pipeline import train_batches
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.objective import compile_model, label_classes

STEPS = 4  # per epoch, in these tests


def prepared(recipe="modern", dtype="float32", **changes):
    config = TrainConfig("digits", recipe=recipe, dtype=dtype, **{"epochs": 2, "batch_size": 500} | changes)
    config = config.resolve(RECIPES[recipe], channels=3)
    model = create_model(config.model, nu=(1,), channels=2, input_shape=(8, 8, 1), dtype=dtype)
    return model, config, compile_model(model, config, RECIPES[recipe], STEPS)


def fitted(model, config, epochs=1):
    data = load("digits")
    form = {"mean": data.mean, "std": data.std, "classes": label_classes(model, data.classes)}
    options = {"augment": config.augment, "label_smoothing": config.label_smoothing, "seed": 0}
    model.fit(train_batches(data.train, config.batch_size, **form, **options, epochs=epochs), shuffle=False, verbose=0)
    return model.evaluate(batches_of_test(data.test, 500, **form), verbose=0, return_dict=True)
