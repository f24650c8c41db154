"""Takes the pictures of the explorer's page: `python docs/generate/screenshots.py explored`, a folder that `explore` wrote."""

import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from keras_mgnet.explorer.server import page_server

IMAGES = Path(__file__).parents[1] / "images"
DIGIT, STEP = 7, "2"
PICTURES = [  # width, height, colours
    (1280, 1240, "light"),
    (390, 1500, "dark"),
]


def main(folder):
    with page_server(folder) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height, colours in PICTURES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            page.wait_for_selector("#panels[aria-busy=false]")
            page.locator("#samples button").nth(DIGIT).click()
            page.locator("#step").fill(STEP)
            page.wait_for_timeout(100)
            page.wait_for_selector("#panels[aria-busy=false]")
            page.screenshot(path=IMAGES / f"explorer_{width}.png")
        server.shutdown()


main(sys.argv[1])
