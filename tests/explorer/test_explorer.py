"""The explorer: what it writes, and the page in a real Chromium."""

import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile

import numpy as np
import onnxruntime
import pytest
from keras import ops
from PIL import Image

from keras_mgnet.analysis.intercept import levels as levels_of
from keras_mgnet.analysis.states import STEPPING, iterates, residuals_of
from keras_mgnet.explorer import runtime
from keras_mgnet.explorer.bundle import MANIFEST, write_page
from keras_mgnet.explorer.ink import ink_box
from keras_mgnet.explorer.server import page_server
from keras_mgnet.explorer.trace import traced
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.to_onnx import converted
from keras_mgnet.images import normalize
from keras_mgnet.layers import ResidualCorrection
from keras_mgnet.training.data import dataset as data
from keras_mgnet.training.runs.run import open_run
from support import ROOT, catalogue, slow_unless
from support.command import invoke, invoked

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NETWORKS = {
    "mgnet": ["--model", "mgnet_2222_c64_shared_b", "--set", "nu=[2,2]", "--set", "channels=[16,24]"],
    "resnet": ["--model", "resnet20", "--set", "blocks=[1,2]", "--set", "base_width=8"],
}
pytestmark = pytest.mark.xdist_group("explorer")  # whose networks are trained once

GRID = (ResidualCorrection,)
FAST = ("mgnet", "vcycle_mgnet", "lm_resnet14", "revnet")
PROBABILITY = 1e-4
# Strokes on a board of 280 by 280 pixels, as a hand draws them.
DIGITS = {
    "3": [(90, 60), (140, 40), (185, 65), (180, 110), (135, 135), (185, 155), (195, 200), (150, 238), (90, 225)],
    "5": [(190, 45), (100, 45), (95, 125), (150, 115), (195, 150), (190, 205), (145, 238), (90, 220)],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    for name, options in NETWORKS.items():
        invoke("train", "digits", *options, "--epochs", 12, "--seed", 1, "--out", out / name)
    return [open_run(out / name) for name in NETWORKS]


@pytest.fixture(scope="module")
def the_runtime():
    try:
        return runtime.installed()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def page_folder(runs, the_runtime, tmp_path_factory):
    return write_page(runs, tmp_path_factory.mktemp("page") / "explored").path


@pytest.fixture(scope="module")
def url(page_folder):
    with page_server(page_folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


# What is written


@pytest.mark.parametrize("name", slow_unless(FAST, catalogue.ONE_PER_FAMILY))
def test_a_traced_network_answers_with_its_states(name):
    model = catalogue.build(name)
    servable = Servable(model)
    images = servable.images()
    serve, levels = traced(servable)
    answers = serve(images)
    np.testing.assert_allclose(answers["logits"], model(images, training=False), atol=1e-5)
    expected = {}
    for symbol, kinds, states in [("u", GRID, iterates), ("x", STEPPING, iterates), ("r", GRID, residuals_of)]:
        own = {level.name for level in levels_of(model, *kinds)}
        if own:
            expected |= {(level, symbol): found for level, found in next(states(model, images)).items() if level in own}
    for level in levels:
        for row in level.rows:
            states = [answers[output] for output in row.outputs]
            assert all(len(state.shape) == 4 for state in states)
            known = expected.get((level.name, row.symbol), states)[: len(states)]  # a cycle's r go on upwards
            for state, same in zip(states, known, strict=True):
                np.testing.assert_allclose(state, same, atol=1e-5)
    proto = converted(serve)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    assert {output.name for output in session.get_outputs()} == set(answers)


def test_the_manifest_tells_what_the_page_shows(runs, page_folder):
    told = json.loads((page_folder / MANIFEST).read_text())
    assert [network["name"] for network in told["networks"]] == ["mgnet", "resnet"]
    assert [sample["label"] for sample in told["samples"]] == list("0123456789")
    mgnet, resnet = told["networks"]
    assert mgnet["accuracy"] == runs[0].record["result"]["last_test_accuracy"] > 0.9
    first, second = mgnet["levels"]
    assert [(row["symbol"], row["first"], len(row["outputs"])) for row in first["rows"]] == [("u", 1, 2), ("r", 0, 3)]
    assert [(row["symbol"], row["first"], len(row["outputs"])) for row in second["rows"]] == [("u", 0, 3), ("r", 0, 3)]
    assert [(row["symbol"], row["first"]) for level in resnet["levels"] for row in level["rows"]] == [
        ("x", 0),
        ("x", 1),
    ]
    for network in told["networks"]:
        assert (page_folder / network["file"]).stat().st_size == network["bytes"]


def test_an_older_page_is_replaced_and_another_folder_is_not(runs, the_runtime, tmp_path):
    out = tmp_path / "explored"
    out.mkdir()
    for name in (MANIFEST, "left"):
        (out / name).touch()
    assert write_page(runs[1:], out).networks == 1
    assert json.loads((out / MANIFEST).read_text())["networks"][0]["name"] == "resnet" and not (out / "left").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(ValueError, match="expected a new folder, or one with an older page"):
        write_page(runs, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="expected different runs"):
        write_page([*runs, runs[0]], tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, the_runtime, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(runs[1].path, tmp_path / folder / "run")
    page = write_page([open_run(tmp_path / folder / "run") for folder in ("a", "b")], tmp_path / "page").path
    told = json.loads((page / MANIFEST).read_text())["networks"]
    assert [network["name"] for network in told] == ["a/run", "b/run"]


def test_a_network_that_disagrees_with_keras_leaves_no_page(runs, the_runtime, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mgnet.explorer.bundle.converted", lambda serve: wrong(converted(serve)))
    with pytest.raises(ValueError, match="expected"):
        write_page(runs, tmp_path / "explored")
    assert list(tmp_path.iterdir()) == []


def wrong(proto):
    """The same network with one weight doubled."""
    largest = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = (2 * np.frombuffer(largest.raw_data, "float32")).tobytes()
    return proto


def test_drawings_are_told_from_photographs():
    digits = data.load("digits").test.images
    assert 0.8 < ink_box(digits) <= 1
    assert ink_box(255 - digits) is None
    assert ink_box(np.repeat(digits, 3, -1)) is None
    assert ink_box(np.zeros((2, 8, 8, 1), "uint8")) is None
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    assert ink_box(noise) is None


@pytest.mark.slow
def test_a_wheel_has_the_page_the_runtime_and_its_licence(the_runtime, tmp_path):
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(words, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix("keras_mgnet/explorer/") for name in archive.namelist()}
    expected = {f"onnxruntime-web/{file.name}" for file in the_runtime}
    expected |= {f"page/{file.name}" for file in (ROOT / "keras_mgnet" / "explorer" / "page").iterdir()}
    assert "onnxruntime-web/LICENSE" in expected and expected <= held


def test_the_runtime_is_the_version_whose_digest_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"with its sha512\. Received: 3 other bytes"):
        runtime.unpack(b"bad", tmp_path)
    with pytest.raises(ImportError, match=r"python -m keras_mgnet\.explorer\.runtime"):
        runtime.installed()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="refused"):
        runtime.fetch()


KINDS = {"": "text/html", "main.js": "text/javascript", f"onnxruntime-web/{runtime.FILES[2]}": "application/wasm"}


def test_the_server_gives_files_with_their_types_and_nothing_else(url):
    for path, kind in KINDS.items():
        with urllib.request.urlopen(url + path) as answer:
            assert answer.headers["Content-Type"] == kind and answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("samples/", "../runs", "%2e%2e/%2e%2e/etc/passwd", "%00"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + path)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(url + MANIFEST, headers={"Host": "evil.example"}))


def test_the_command_writes_the_page(runs, the_runtime, tmp_path):
    said = invoked(["explore", runs[0].path, "--no-serve", "--out", tmp_path / "out"]).stdout
    assert (tmp_path / "out" / "index.html").is_file()
    assert said.startswith(f"wrote {tmp_path / 'out'}: 1 network, 10 test images, 14.") and "open http" not in said


def test_bad_requests_are_told_before_anything_is_computed(runs, url, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert "expected a run directory" in refused("explore", "nowhere")
    port = url.rstrip("/").rpartition(":")[2]
    assert f"expected a free port. Received: {port}" in refused("explore", runs[0].path, "--port", port)
    assert list(tmp_path.iterdir()) == []


# In a browser


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def blank_page(browser, url):
    """A page before it is loaded; at the end nothing may have been asked of another machine, and no error reported."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
    assert [asked for asked in requests if not asked.startswith((url, "blob:", "data:"))] == []
    page.close()


@pytest.fixture
def page(blank_page, url):
    blank_page.goto(url)
    settled(blank_page)
    return blank_page


def settled(page):
    """Waits until the networks have answered."""
    page.wait_for_timeout(50)
    page.wait_for_selector(".panel .likeliest")
    page.wait_for_selector("#panels[aria-busy=false]")


def probabilities(page, panel=0):
    shares = page.locator(".panel").nth(panel).locator(".share")
    return np.array([float(share) for share in shares.evaluate_all("all => all.map(e => e.dataset.probability)")])


def likeliest(page, panel=0):
    return page.locator(".panel").nth(panel).locator(".likeliest .class").inner_text()


def picture(page, panel=0):
    """What the panel shows of the current step."""
    return page.locator(".panel").nth(panel).locator(".now canvas").evaluate_all("all => all.map(c => c.toDataURL())")


def test_probabilities_are_those_of_keras(page, runs):
    images = data.load("digits").test
    for place in (0, 4, 9):
        page.locator("#samples button").nth(place).click()
        settled(page)
        image = images.images[np.flatnonzero(images.labels == place)[0]]
        for n, run in enumerate(runs):
            logits = run.load_model()(normalize(image[None], *run.normalization), training=False)
            expected = ops.convert_to_numpy(ops.softmax(logits))[0]
            np.testing.assert_allclose(probabilities(page, n), expected, atol=PROBABILITY)


@pytest.mark.parametrize("digit", DIGITS)
def test_a_digit_that_is_drawn_is_read(page, digit):
    page.locator("#clear").click()
    draw(page, DIGITS[digit])
    settled(page)
    assert [likeliest(page, n) for n in range(len(NETWORKS))] == [digit] * len(NETWORKS)


def draw(page, stroke):
    box = page.locator("#board").bounding_box()
    x, y = stroke[0]
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    for x, y in stroke[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
    page.mouse.up()


def test_steps_change_the_pictures(page):
    pictures = [picture(page)]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        pictures.append(picture(page))
    assert len(set(map(tuple, pictures))) == 4
    page.keyboard.press("Home")
    assert picture(page) == pictures[0]
    page.locator("#step").fill("2")
    assert picture(page) == pictures[2]
    page.locator(".panel td[data-level=level2][data-i='2']").first.click()
    assert (
        page.locator("#step").input_value() == "5"
        and "level2, iteration 2 of 2" in page.locator(".said").first.inner_text()
    )
    before = picture(page)
    page.locator("#channel").select_option("3")
    assert picture(page) != before
    page.keyboard.press("Home")
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('step').value > 1")
    page.locator("#play").click()


def test_two_networks_are_side_by_side(page):
    panels = page.locator(".panel")
    assert panels.locator("h3").all_inner_texts() == ["mgnet", "resnet"]
    left, right = (panels.nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    page.locator("#step").fill("5")  # the smaller network stays at its last
    assert "level2" in page.locator(".said").nth(1).inner_text()
    page.set_viewport_size({"width": 390, "height": 800})
    left, right = (panels.nth(n).bounding_box() for n in (0, 1))
    assert left["y"] + left["height"] <= right["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_file_that_is_no_image_gets_a_message(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    before = probabilities(page)
    page.locator("#file").set_input_files(tmp_path / "notes.txt")
    page.wait_for_function("() => document.getElementById('message').innerText")
    assert (
        page.locator("#message").inner_text()
        == "expected an image that this browser can read. Received: notes.txt, text/plain"
    )
    np.testing.assert_array_equal(probabilities(page), before)


def test_a_network_that_fails_says_so_and_the_page_lives_on(blank_page, url, page_folder):
    told = json.loads((page_folder / MANIFEST).read_text())
    told["networks"][0]["levels"][0]["rows"][0]["outputs"][0] = "no such output"
    blank_page.route(f"**/{MANIFEST}", lambda route: route.fulfill(json=told))
    blank_page.goto(url)
    blank_page.wait_for_function("() => document.getElementById('message').innerText")
    assert blank_page.locator("#message").inner_text().startswith("A network failed: ")
    blank_page.wait_for_selector("#panels[aria-busy=false]")
    blank_page.locator("#samples button").nth(1).click()
    blank_page.wait_for_function("() => document.getElementById('message').innerText")


def test_keys_wait_for_the_first_picture(blank_page, url):
    def late(route):
        blank_page.keyboard.press("ArrowRight")
        route.continue_()

    blank_page.route("**/samples/0.png", late)
    blank_page.goto(url)
    settled(blank_page)
    assert blank_page.locator("#step").input_value() == "0"


def test_the_answer_and_the_step_are_told(page):
    """To those who do not see them: in lines that a screen reader reads when they change, but not while they play."""
    page.locator("#samples button").nth(4).click()
    settled(page)
    assert page.locator(".answer[aria-live=polite]").first.inner_text().startswith("4, ")
    page.locator("#play").click()
    assert page.locator(".said[aria-live=off]").count() == 2
    page.locator("#play").click()
    assert page.locator(".said[aria-live=polite]").count() == 2


BRIGHTEST = """board => {
    const { data } = board.getContext("2d").getImageData(0, 0, board.width, board.height);
    return data.reduce((most, value, i) => i % 4 < 3 ? Math.max(most, value) : most, 0);
}"""


def test_a_transparent_image_stands_on_black(page, tmp_path):
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "glass.png")
    page.locator("#file").set_input_files(tmp_path / "glass.png")
    settled(page)
    assert page.locator("#board").evaluate(BRIGHTEST) == 0


def test_an_opened_image_is_classified_at_its_own_size(page, page_folder):
    page.locator("#clear").click()
    settled(page)
    page.locator("#file").set_input_files(page_folder / "samples" / "6.png")
    settled(page)
    assert likeliest(page) == "6"


NAMELESS = """() => {
    const shown = [...document.querySelectorAll("canvas, img, button, input, select, svg, meter, [role=region]")]
        .filter(e => e.offsetParent !== null && !e.closest("[aria-hidden=true]"));
    const named = e => e.ariaLabel || e.alt || e.innerText || e.labels?.length || e.closest("[aria-label]");
    return shown.filter(e => !named(e)).map(e => e.outerHTML);
}"""


def test_what_is_shown_has_words(page):
    """For those who do not see it: every picture, control and region has a name."""
    nameless = page.evaluate(NAMELESS)
    assert nameless == []
    chart = page.locator(".chart").first.get_attribute("aria-label")
    assert chart.startswith("‖rⁱ‖ / ‖r⁰‖") and "level1 1.00 at 0, " in chart


def test_a_chart_shows_the_analysis_of_the_residuals(page, runs):
    image = data.load("digits").test
    pixels = normalize(image.images[np.flatnonzero(image.labels == 0)[:1]], *runs[0].normalization)
    (states,) = residuals_of(runs[0].load_model(), np.asarray(pixels))
    expected = [np.linalg.norm(r) / np.linalg.norm(states["level1"][0]) for r in states["level1"]]
    shown = page.locator(".chart").first.get_attribute("aria-label").partition("level1 ")[2].partition(";")[0]
    np.testing.assert_allclose([float(part.split(" at ")[0]) for part in shown.split(", ")], expected, atol=0.006)
