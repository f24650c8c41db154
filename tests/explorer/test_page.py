"""The page in a real Chromium."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_mgnet.analysis.states import residuals_of
from keras_mgnet.explorer.bundle import MANIFEST
from keras_mgnet.explorer.ink import ink_of
from keras_mgnet.images import normalize
from keras_mgnet.training.data import dataset as data
from support.explored import NETWORKS
from support.pen import drawings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VIEWPORT = {"width": 1280, "height": 900}
PROBABILITY = 1e-4
# Strokes on a board of 280 by 280 pixels, as a hand draws them.
DIGITS = {
    "1": [(60, 40), (60, 110)],
    "3": [(90, 60), (140, 40), (185, 65), (180, 110), (135, 135), (185, 155), (195, 200), (150, 238), (90, 225)],
    "5": [(190, 45), (100, 45), (95, 125), (150, 115), (195, 150), (190, 205), (145, 238), (90, 220)],
}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(browser, url):
    """A page before it is loaded; at the end nothing may have been asked of another machine, and no error reported."""
    page = browser.new_page(viewport=VIEWPORT)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
    assert [asked for asked in requests if not asked.startswith((url, "blob:", "data:"))] == []
    page.close()


@pytest.fixture
def blank_page(browser, url):
    with watched(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def loaded_page(browser, url):
    with watched(browser, url) as page:
        page.goto(url)
        settled(page)
        yield page


@pytest.fixture
def page(loaded_page):
    """The loaded page as it begins: the first test image at step 0."""
    loaded_page.set_viewport_size(VIEWPORT)
    loaded_page.locator("#channel").select_option("-1")
    loaded_page.locator("#step").fill("0")
    loaded_page.locator("#samples button").first.click()
    settled(loaded_page)
    return loaded_page


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


READ = """async drawings => {
    const { pixelsFor } = await import("./pixels.js"), { Network } = await import("./network.js");
    const { networks } = await (await fetch("explorer.json")).json();
    return Promise.all(networks.map(async description => {
        const network = await Network.load(description), told = [];
        for (const strokes of drawings) {
            const pixels = pixelsFor(description, null, strokes), { probabilities } = await network.run(pixels);
            told.push([description.classes[probabilities.indexOf(Math.max(...probabilities))], [...pixels]]);
        }
        return told;
    }));
}"""


def test_ten_digits_at_five_places_in_three_sizes_are_read(page, runs):
    digits, strokes = zip(*drawings(), strict=True)
    height, width, _ = runs[0].input_shape
    measured = ink_of(data.load("digits").test.images)
    for told in page.evaluate(READ, strokes):
        answers, pixels = zip(*told, strict=True)
        assert np.mean([answer == digit for answer, digit in zip(answers, digits, strict=True)]) >= 0.95
        drawn = ink_of(np.array(pixels).reshape(-1, height, width, 1).astype("uint8"))
        assert drawn == pytest.approx(measured, abs=0.05)  # their size, pen and place


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
