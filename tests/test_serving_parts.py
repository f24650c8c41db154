"""Parts of the embedded server by themselves: batches, versions of SavedModels, bodies, routes, tensors, images."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from served import NAME, encoded, logits, pixels, tiny, write_onnx, write_savedmodel

from keras_mgnet.serving import limits, pictures
from keras_mgnet.serving.app import application
from keras_mgnet.serving.batching import Batcher, Job
from keras_mgnet.serving.engine import open_engine
from keras_mgnet.serving.errors import RequestError
from keras_mgnet.serving.model import MAX_BATCH, PIXELS_A_ROW, Model
from keras_mgnet.serving.open_inference import ServedDataPlane
from keras_mgnet.serving.signature import Tensor
from keras_mgnet.training.images import decode

# batching


class Runtime:
    """Doubles x, and waits in its first call until it is let go; negative numbers make it fail."""

    def __init__(self):
        self.batches, self.go, self.started = [], threading.Event(), threading.Event()

    def __call__(self, signature, inputs):
        self.batches.append((signature, inputs["x"].tolist()))
        self.started.set()
        self.go.wait(10)
        if (inputs["x"] < 0).any():
            raise RequestError("negative")
        return {"y": 2 * inputs["x"]}


def job(*values, signature="f", alone=False):
    return Job(signature, {"x": np.array(values)}, weight=len(values), alone=alone)


def run_while_busy(make_jobs, *, max_weight=4, max_waiting=100, before_go=lambda tasks: None):
    """Returns the runtime and the outcomes of jobs that arrive while a first one runs."""
    runtime = Runtime()

    async def run():
        with ThreadPoolExecutor() as executor:
            batcher = Batcher(runtime, executor, max_weight=max_weight, max_waiting=max_waiting)
            tasks = [asyncio.create_task(batcher(job(0)))]
            await asyncio.to_thread(runtime.started.wait)
            tasks += [asyncio.create_task(batcher(each)) for each in make_jobs()]
            await asyncio.sleep(0)
            before_go(tasks)
            await asyncio.sleep(0)
            runtime.go.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(run())
    return runtime, [each if isinstance(each, BaseException) else each["y"].tolist() for each in outcomes[1:]]


def test_requests_that_wait_run_together_and_get_their_own_rows():
    runtime, outcomes = run_while_busy(lambda: [job(1), job(2, 3), job(4), job(5)])
    assert runtime.batches == [("f", [0]), ("f", [1, 2, 3, 4]), ("f", [5])]
    assert outcomes == [[2], [4, 6], [8], [10]]


def test_what_does_not_fit_together_runs_apart_in_order():
    wide = Job("f", {"x": np.ones((1, 2))}, weight=1, alone=False)
    runtime, _ = run_while_busy(
        lambda: [job(1), job(2, signature="g"), wide, job(3), job(4, alone=True), job(5, alone=True)]
    )
    assert [signature for signature, _ in runtime.batches[1:]] == ["f", "g", "f", "f", "f"]
    assert [values for _, values in runtime.batches[1:]] == [[1, 3], [2], [[1.0, 1.0]], [4], [5]]


def test_a_request_that_fails_fails_alone():
    _, outcomes = run_while_busy(lambda: [job(1), job(-1), job(2)])
    assert outcomes[0] == [2]
    assert isinstance(outcomes[1], RequestError)
    assert outcomes[2] == [4]


def test_a_full_queue_refuses():
    _, outcomes = run_while_busy(lambda: [job(1, 2), job(3, 4), job(5)], max_waiting=4)
    assert outcomes[:2] == [[2, 4], [6, 8]]
    assert outcomes[2].status == 503


def test_what_nobody_waits_for_does_not_run():
    runtime, outcomes = run_while_busy(lambda: [job(1), job(2)], before_go=lambda tasks: tasks[1].cancel())
    assert runtime.batches == [("f", [0]), ("f", [2])]
    assert isinstance(outcomes[0], asyncio.CancelledError)


# versions


def served_logits(model, number=None):
    version = model.version(number)
    return asyncio.run(version.run("", {"image": pixels(2).astype("float32")}))["logits"]


@pytest.fixture
def model(tmp_path):
    with ThreadPoolExecutor() as executor:
        yield Model(tmp_path / NAME, NAME, executor)


def look(model, times=2):
    for _ in range(times):
        asyncio.run(model.update())


def cut(file: Path):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda version: cut(version / "saved_model.pb"),
        lambda version: (version / "saved_model.pb").write_bytes(b""),
        lambda version: (version / "variables" / "variables.index").unlink(),
        lambda version: next((version / "variables").glob("*.data*")).unlink(),
        lambda version: cut(next((version / "variables").glob("*.data*"))),
    ],
    ids=["cut graph", "empty graph", "no index", "no variables", "cut variables"],
)
def test_a_damaged_savedmodel_is_never_served(model, damage):
    write_savedmodel(model.base)
    asyncio.run(model.start())
    damage(write_savedmodel(model.base, seed=1))
    look(model)
    assert list(model.versions) == [1]
    assert list(model.failed) == [2]
    np.testing.assert_allclose(served_logits(model), logits(tiny(0), pixels(2)), rtol=1e-4, atol=1e-4)

    before = model.failed[2]
    look(model)
    assert model.failed[2] is before, "tried again though nothing changed"


def test_a_version_that_still_changes_waits(model):
    write_onnx(model.base)
    asyncio.run(model.start())
    late = write_onnx(model.base, seed=2, version=2)
    for extra in range(3):
        (late / f"part{extra}").touch()
        look(model, times=1)
        assert list(model.versions) == [1]
    look(model, times=1)
    assert list(model.versions) == [2]


def test_a_dropped_version_answers_what_it_accepted_and_is_freed(model):
    import gc
    import weakref

    write_onnx(model.base, seed=1)
    asyncio.run(model.start())
    accepted = model.version()
    engine = weakref.ref(accepted.engine)
    write_onnx(model.base, seed=2, version=2)
    look(model)
    assert list(model.versions) == [2]
    answer = asyncio.run(accepted.run("", {"image": pixels(2).astype("float32")}))
    np.testing.assert_allclose(answer["logits"], logits(tiny(1), pixels(2)), rtol=1e-4, atol=1e-4)
    del accepted
    gc.collect()
    assert engine() is None


def test_a_label_moves_once_its_new_version_is_loaded(model):
    for number in (1, 2, 3):
        write_onnx(model.base, seed=number, version=number)
    labels = model.base / "labels.json"
    labels.write_text('{"stable": 1}')
    asyncio.run(model.start())
    assert (sorted(model.versions), model.version(label="stable").number) == ([1, 3], 1)

    damaged = write_onnx(model.base, version=4) / "model.onnx"
    whole = damaged.read_bytes()
    cut(damaged)
    labels.write_text('{"stable": 4}')
    look(model)
    assert (sorted(model.versions), model.version(label="stable").number) == ([1, 3], 1)

    damaged.write_bytes(whole)
    look(model)
    assert (sorted(model.versions), model.version(label="stable").number) == ([4], 4)

    labels.write_text('["stable"]')
    with pytest.raises(ValueError, match=r"expected label -> version in .*labels.json"):
        look(model)
    assert model.version(label="stable").number == 4


def test_a_folder_that_is_empty_now_is_not_ready(model):
    version = write_onnx(model.base)
    asyncio.run(model.start())
    assert model.ready
    version.rename(model.base.parent / "elsewhere")
    look(model)
    assert not model.ready
    with pytest.raises(RequestError) as error:
        model.version()
    assert error.value.status == 503


def test_a_folder_that_cannot_be_read_keeps_its_versions(model, caplog):
    write_onnx(model.base)
    asyncio.run(model.start())
    model.base.rename(model.base.with_name("elsewhere"))
    caplog.set_level("WARNING", "keras_mgnet.serving.model")

    async def watch():
        watching = asyncio.create_task(model.watch(0.01))
        await asyncio.sleep(0.1)
        watching.cancel()

    asyncio.run(watch())
    assert list(model.versions) == [1]
    assert caplog.text.count("keeping the versions") == 1


# bodies


def test_large_bodies_are_bounded_together():
    """Sixteen requests hold a whole body each; the next one is refused, and welcome again when one is answered."""
    answered = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await answered.wait()

    async def receive():
        return {"type": "http.request", "body": b"12345678", "more_body": False}

    async def run():
        gate = limits.Gate(app, max_request_bytes=8, draining=lambda: False)
        ask = lambda: asyncio.create_task(gate({"type": "http", "headers": []}, receive, None))  # noqa: E731
        first = [ask() for _ in range(16)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as error:
            await ask()
        assert error.value.status == 503
        answered.set()
        await asyncio.gather(*first, ask())

    asyncio.run(run())


# routes, asked without a server


def ask(app, method, path, content=None):
    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(run())


PATHS = {"v1": f"/v1/models/{NAME}:predict", "v2": f"/v2/models/{NAME}/infer"}


@pytest.mark.parametrize("protocol", PATHS)
def test_both_protocols_tell_that_a_body_is_one_too_many(model, monkeypatch, protocol):
    monkeypatch.setattr(limits, "BODIES", 0)
    gate = limits.Gate(application(model, ServedDataPlane(model)), max_request_bytes=8, draining=lambda: False)
    answer = ask(gate, "POST", PATHS[protocol], b"{}")
    assert answer.status_code == 503 and "fewer large bodies" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *(("GET", path, {"POST"}) for path in PATHS.values()),
        ("GET", f"/v1/models/{NAME}/versions/1:predict", {"POST"}),
        ("GET", f"/v1/models/{NAME}/labels/stable:predict", {"POST"}),
        ("POST", f"/v1/models/{NAME}", {"GET", "HEAD"}),
        ("DELETE", f"/v1/models/{NAME}/metadata", {"GET", "HEAD"}),
        ("POST", "/metrics", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(model, method, path, allowed):
    answer = ask(application(model, ServedDataPlane(model)), method, path)
    assert answer.status_code == 405 and list(answer.json()) == ["error"]
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/model", f"/v1/models/{NAME}:classify", "/v3"])
def test_what_is_not_there_is_not_found(model, path):
    answer = ask(application(model, ServedDataPlane(model)), "POST", path)
    assert answer.status_code == 404 and list(answer.json()) == ["error"]


@pytest.mark.parametrize("protocol", PATHS)
def test_an_unexpected_error_is_logged_once_and_not_shown(model, monkeypatch, caplog, protocol):
    def fail(*args, **options):
        raise ZeroDivisionError("of ours")

    data_plane = ServedDataPlane(model)
    monkeypatch.setattr(model, "version", fail)
    monkeypatch.setattr(data_plane, "model_ready", fail)
    config = uvicorn.Config(application(model, data_plane), log_config=None, lifespan="off", port=0)
    server = uvicorn.Server(config)

    async def run():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient() as client:
            content = b'{"inputs": []}'
            answer = await client.post(f"http://127.0.0.1:{port}{PATHS[protocol]}", content=content)
        server.should_exit = True
        await serving
        return answer

    answer = asyncio.run(run())
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert caplog.text.count("ZeroDivisionError: of ours") == 1


# tensors and encoded images


@pytest.mark.parametrize("value", [[[1, 2]], [[1.0, 2.0]], np.array([[1, 2]], "uint8"), np.array([[1, 2]], "float64")])
def test_numbers_become_the_type_of_the_tensor(value):
    array = Tensor("x", "float32", (None, 2)).array(value)
    assert (array.dtype, array.tolist()) == (np.float32, [[1, 2]])


def test_onnx_and_savedmodel_decode_alike(tmp_path):
    engines = [open_engine(write(tmp_path / write.__name__ / NAME)) for write in (write_savedmodel, write_onnx)]
    smooth = np.add.outer(np.arange(30), np.arange(23))[..., None] * np.array([1, 2, 3]) % 256
    images = np.empty(3, object)
    images[:] = [encoded(smooth.astype("uint8")), encoded(pixels(1)[0], "JPEG"), encoded(pixels(1)[0][..., 0])]
    found = [engine.run("serving_bytes", {"image_bytes": images})["logits"] for engine in engines]
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_decoded_as_for_training(channels, tmp_path):
    deep = np.arange(64, dtype="uint16").reshape(8, 8) * 1000
    (tmp_path / "deep.png").write_bytes(encoded(deep))
    (received,) = pictures.decode("x", [encoded(deep)], (8, 8, channels))
    np.testing.assert_array_equal(received, decode(tmp_path / "deep.png", channels=channels))


def test_the_largest_images_fill_a_batch():
    assert pictures.check_pictures("x", [pictures.encoded_png(1000, 1000)] * 3) == 3_000_000
    assert pictures.MAX_PIXELS // PIXELS_A_ROW == MAX_BATCH
