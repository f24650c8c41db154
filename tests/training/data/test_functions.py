"""Training of networks of functions: pairs from files and from our solver, runs that resume bit for bit, their commands."""

import io
import signal

import numpy as np
import pytest
from rich.console import Console

from keras_mgnet import MgNO
from keras_mgnet.multigrid import ProblemConfig, generate
from keras_mgnet.relative_errors import mean_relative_l2
from keras_mgnet.training.data import functions
from keras_mgnet.training.data.plan import Plan
from keras_mgnet.training.loop import loop
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate, export_arguments, on_grid, predict
from keras_mgnet.training.loop.prepare import prepare
from keras_mgnet.training.runs.run import read_log
from support.command import invoke
from support.runs import checkpoints_of, stop_at

SMALL = {"channels": 2, "layers": 1, "steps": [[1, 0], [1, 0]], "normalize_x": "scalar"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder of generated pairs, for all tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(functions.CACHE, str(folder))
        yield folder


def train(out, dataset="pde:poisson", **changes):
    made = {"grid": 8, "pairs": 15} if dataset.startswith("pde") else {"model": "mgno_darcy_rough"}
    small = {"set": SMALL, "epochs": 3, "batch_size": 5, "log": "none"}
    return loop.train(TrainConfig(dataset, **made | small | changes, out=str(out)), Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


def test_pairs_are_made_once_and_the_record_has_their_digest(run, cache, monkeypatch):
    (file,) = cache.iterdir()
    assert file.name == "poisson-8-15.npz"
    monkeypatch.setattr(functions, "write_pairs", None)
    data = functions.load_pairs("pde:poisson", grid=8, pairs=15)
    made = generate(ProblemConfig("poisson", samples=15, grid=8))
    np.testing.assert_array_equal(np.concatenate([data.train.y, data.test.y]), made["y"].astype("float32"))
    recorded = run.record["data"]
    assert (recorded["train"], recorded["test"], recorded["input_shape"]) == (12, 3, [8, 8, 1])
    assert len(recorded["sha256"]) == 64 and run.record["config"]["grid"] == 8


def test_the_run_has_the_recipe_the_curves_and_normalisers_of_its_training_data(run):
    rows, result, config = read_log(run.path / "log.csv"), run.record["result"], run.record["config"]
    assert (config["schedule"], config["augment"], config["weight_decay"]) == ("one_cycle", "none", 0.0)
    errors = [row["val_l2"] for row in rows]
    assert len(rows) == 3 and {"loss", "l2", "h1", "val_h1"} <= rows[0].keys()
    assert result["best_test_l2"] == min(errors) and result["best_epoch"] == 1 + errors.index(min(errors))
    for picture in ("curves.png", "functions.png"):
        assert (run.path / picture).read_bytes().startswith(b"\x89PNG")
    data, model = functions.load_pairs("pde:poisson", grid=8, pairs=15), run.load_model()
    np.testing.assert_allclose(model.get_layer("encode").mean, [data.train.x.mean()], atol=1e-6)
    np.testing.assert_allclose(model.get_layer("decode").std, [data.train.y.std(ddof=1)], rtol=1e-5)


def test_weights_keep_the_normalisers_of_their_training_data(cache, tmp_path):
    path, options = str(tmp_path / "w.weights.h5"), {"model": "mgno_darcy_rough", "grid": 8, "pairs": 15}
    first = prepare(TrainConfig("pde:poisson", **options, set=SMALL)).model
    first.save_weights(path)
    second = prepare(TrainConfig("pde:darcy", **options, set=SMALL | {"weights": path})).model
    for ours, theirs in zip(second.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_evaluate_agrees_with_the_log_and_with_numpy(run):
    result = evaluate(run)
    data, model = functions.load_pairs("pde:poisson", grid=8, pairs=15), run.load_model()
    assert result["l2"] == pytest.approx(run.record["result"]["last_test_l2"], rel=1e-6)
    assert result["l2"] == pytest.approx(mean_relative_l2(data.test.y, model(data.test.x).numpy()), rel=1e-5)
    output = invoke("evaluate", run.path)
    assert f"relative L2 error {result['l2']:.4f}, relative H1 error {result['loss']:.4f}" in output


def test_a_network_answers_on_another_grid(run, refused):
    """Poisson's equation in units of points: the network has no mesh width, so its error there is large, but it is its error."""
    result = evaluate(run, grid=16)
    data, model = functions.load_pairs("pde:poisson", grid=16, pairs=15), run.load_model()
    other = on_grid(model, (16, 16, 1))
    assert result["images"] == 3
    assert result["l2"] == pytest.approx(mean_relative_l2(data.test.y, other(data.test.x).numpy()), rel=1e-5)
    np.testing.assert_array_equal(on_grid(other, (8, 8, 1))(data.test.x[:, :8, :8]), model(data.test.x[:, :8, :8]))
    assert "expected grid to be a power of 2" in refused("evaluate", run.path, "--grid", 12)
    with pytest.raises(ValueError, match=r"without pointwise normalisers .*Received: mgno for \(8, 8, 1\), and"):
        on_grid(MgNO.from_config(model.get_config() | {"normalize_y": "pointwise"}), (16, 16, 1))


def test_other_commands_know_what_the_run_is(run, tmp_path, refused):
    with pytest.raises(ValueError, match=r"expected pde:PROBLEM or npz:FILE for .*, a run of mgno.*Received: digits"):
        evaluate(run, dataset="digits")
    with pytest.raises(ValueError, match="expected the run of a classifier"):
        predict(run, [tmp_path / "image.png"])
    assert "expected runs of classifiers. Received" in refused("compare", run.path, "--out", tmp_path / "out")
    arguments = export_arguments(run)
    assert arguments["samples"].shape == arguments["labels"].shape == (3, 8, 8, 1)


def test_without_its_data_a_run_has_a_few_pairs_of_its_own(cache, tmp_path):
    file = tmp_path / "pairs.npz"
    np.savez(file, **{key: value for key, value in generate(ProblemConfig("poisson", 6, 8)).items() if key in "xy"})
    mine = train(tmp_path / "run", f"npz:{file}", epochs=1)
    file.unlink()
    with pytest.warns(UserWarning, match=r"Used the images in .*samples.npz"):
        assert export_arguments(mine)["samples"].shape == (1, 8, 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_run_gives_the_same_bits(step, run, cache, tmp_path, monkeypatch):
    """Three steps an epoch: step 4 is within the second epoch."""
    whole = train(tmp_path / "whole", epochs=2, reproducible=True)
    with monkeypatch.context() as patch:
        stop_at(patch, step, signal.SIGTERM)
        stopped = train(tmp_path / "stopped", epochs=2, reproducible=True)
    assert stopped.record["result"]["status"] == "preempted"
    resumed = train(tmp_path / "stopped", epochs=2, reproducible=True, resume=True)
    (_, ours, _), (_, theirs, _) = (checkpoints_of(one).newest() for one in (whole, resumed))
    for key, array in ours.items():
        np.testing.assert_array_equal(theirs[key], array)


def test_an_epoch_has_every_pair_once_in_an_order_of_seed_and_epoch():
    x = np.arange(10, dtype="float32").reshape(10, 1, 1, 1)
    data = functions.FunctionPairs("ten", functions.Pairs(x, 2 * x), functions.Pairs(x[:1], x[:1]))

    def epoch(seed, number, first=0):
        plan = Plan(seed, 10, 4, number, first, epochs=1)
        pairs = [data.train_batch(plan, i) for i in range(len(plan))]
        return [np.concatenate(part).ravel() for part in zip(*pairs, strict=True)]

    first, y = epoch(0, 0)
    assert sorted(first) == list(range(10)) and (y == 2 * first).all()
    np.testing.assert_array_equal(epoch(0, 0, first=1)[0], first[4:])
    assert any((epoch(*other)[0] != first).any() for other in ((1, 0), (0, 1)))


ONES = np.ones((5, 8, 8, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": ONES}, r"expected the arrays x and y in .*\. Received: no y"),
        ({"x": ONES, "y": ONES, "x_test": ONES}, "Received: no y_test"),
        ({"x": ONES, "y": ONES[:, :6, :6]}, r"on one grid\. Received: \(5, 8, 8, 1\) and \(5, 6, 6, 1\)"),
        ({"x": ONES, "y": ONES[:4]}, "equally many functions"),
        ({"x": ONES * 1j, "y": ONES}, "expected real numbers in x. Received: complex128"),
        ({"x": ONES, "y": ONES * np.nan}, "expected finite numbers in y"),
        ({"x": ONES[0, 0], "y": ONES[0, 0]}, r"expected x of the shape \(N, H, W, c\)"),
        ({"x": ONES[:2], "y": ONES[:2]}, "at least two pairs for training. Received: 1"),
        (
            {"x": ONES, "y": ONES, "x_test": ONES[:, :4], "y_test": ONES[:, :4]},
            "training and test functions of one shape",
        ),
        ({"x": ONES[:, :7], "y": ONES[:, :7]}, "both even or both odd on each grid. Received: 7 x 8 points"),
    ],
)
def test_wrong_pairs_are_refused_before_anything_is_written(arrays, message, tmp_path):
    np.savez(tmp_path / "pairs.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", f"npz:{tmp_path / 'pairs.npz'}")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.npz"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "pde:darci"}, "unknown problem 'darci'; did you mean 'darcy'"),
        ({"dataset": "pde:darcy", "grid": 60}, "expected grid to be a power of 2"),
        ({"dataset": "digits", "grid": 8}, "expected grid only with pde:PROBLEM. Received: grid=8"),
        (
            {"dataset": "pde:darcy", "model": "resnet20"},
            "expected a network of functions for pde:darcy. Received: model='resnet20'",
        ),
        ({"dataset": "digits", "model": "mgno_pipe"}, "expected a classifier for digits. Received: model='mgno_pipe'"),
        ({"dataset": "pde:darcy", "validation": 0.1}, "expected no validation with a network of functions"),
        ({"dataset": "pde:darcy", "label_smoothing": 0.1}, "expected no augment or label_smoothing"),
        ({"dataset": "pde:darcy", "teacher": "x"}, "expected no teacher of a network of functions"),
        ({"dataset": "npz:absent.npz", "model": "mgno_pipe"}, "no such file"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        prepare(TrainConfig(**options))


def test_the_default_network_and_data():
    config = TrainConfig("pde:darcy")
    assert (config.model, config.grid, config.pairs) == ("mgno_darcy_rough", 64, 1250)
