"""The report in a browser.

Its slider, selects and tables answer real input, which headless Chromium gets over DevTools.
"""

import json
import os
import select
import shutil
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from deepsim_tf.evaluation import report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"No browser. Install one of {', '.join(NAMES)}.")
KEYS = {"ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Enter": 13, "Tab": 9}


class Browser:
    """A page of headless Chromium, driven over --remote-debugging-pipe: JSON messages that end in a zero byte."""

    def __init__(self, profile):
        (theirs, self.out), (self.into, answers) = os.pipe(), os.pipe()
        # Chromium reads from 3 and writes to 4, numbers that only a shell can give to a child here.
        shell = f'exec "$@" 3</dev/fd/{theirs} 4>/dev/fd/{answers}'
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--window-size=1200,1600",
        ]
        command = [
            "sh",
            "-c",
            shell,
            "sh",
            CHROMIUM,
            *flags,
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers), **quiet)
        os.close(theirs), os.close(answers)
        self.rest, self.number, self.session = b"", 0, {}
        target = next(target for target in self.call("Target.getTargets")["targetInfos"] if target["type"] == "page")
        self.session = {
            "sessionId": self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        }

    def call(self, method, **params):
        """The answer to a command, among events, which are dropped."""
        self.number += 1
        os.write(
            self.out,
            json.dumps({"id": self.number, "method": method, "params": params, **self.session}).encode() + b"\0",
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            message, end, rest = self.rest.partition(b"\0")
            if not end:
                assert select.select([self.into], [], [], 30)[0], f"Chromium does not answer {method}"
                self.rest += os.read(self.into, 1 << 16)
                assert self.process.poll() is None, "Chromium has ended"
                continue
            self.rest, answer = rest, json.loads(message)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
        raise AssertionError(f"Chromium does not answer {method}")

    def evaluate(self, script):
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path):
        """Load a file and wait until its scripts have run."""
        self.call("Page.navigate", url=path.as_uri())
        until = time.monotonic() + 20
        while not self.evaluate(f"document.readyState === 'complete' && location.href === {json.dumps(path.as_uri())}"):
            assert time.monotonic() < until, "the page does not load"
            time.sleep(0.02)

    def press(self, key, times=1):
        """Press and release a key where the focus is."""
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.call(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    code=key,
                    windowsVirtualKeyCode=KEYS[key],
                    text="\r"[: key == "Enter"],
                )

    def click(self, element):
        """Click into the middle of an element, given as a JavaScript expression."""
        self.evaluate(f"{element}.scrollIntoView({{block: 'center'}})")
        box = self.evaluate(
            f"(box => [box.x + box.width / 2, box.y + box.height / 2])({element}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def close(self):
        """End Chromium."""
        self.call("Browser.close")
        self.process.wait(20)
        os.close(self.out), os.close(self.into)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, tmp_path):
    """The browser, with a report of two pairs, an image and a volume, two tables and many classes."""
    summary = pd.DataFrame(
        {"method": ["identity", "MSE", "NCC"], "dice": [0.80, 0.95, 0.90], "hd95": [np.nan, 2.0, 12.0]}
    )
    for k in range(9):
        summary[f"dice_{k}"] = [0.5, 0.6 + k / 100, 0.7]
    other = pd.DataFrame({"extractor": ["segmentation", "autoencoder"], "dice": [0.8, 0.9]})
    image, volume = np.linspace(0, 1, 48).reshape(6, 8), np.linspace(0, 1, 6 * 8 * 10).reshape(6, 8, 10)
    pairs = [
        {"name": "first", "moving": image, "warped": {"MSE": image, "NCC": image}, "fixed": image[::-1]},
        {"name": "second", "moving": volume, "warped": {"MSE": volume}, "fixed": volume},
    ]
    path = report.write_report(
        tmp_path / "report.html",
        title="Test",
        summary=summary,
        figures={},
        config={},
        tables={"Extractors": other},
        pairs=pairs,
    )
    browser.open(path)
    return browser


def opacities(page):
    """The computed opacity of the layers on screen, moving first."""
    script = (
        "[...document.querySelectorAll('.layer')].filter(e => e.checkVisibility()).map(e =>"
        " Number(getComputedStyle(e).opacity))"
    )
    return [round(value, 3) for value in page.evaluate(script)]


def rows(page, table=0):
    return page.evaluate(
        f"[...document.querySelectorAll('table')[{table}].tBodies[0].rows].map(row => row.cells[0].textContent)"
    )


def chosen(page, name):
    return page.evaluate(f"document.getElementById('{name}').value")


def test_the_slider_fades_from_moving_over_warped_to_fixed(page):
    page.evaluate("document.getElementById('fade').focus()")
    found = [opacities(page)]
    for key, times in (("ArrowRight", 10), ("ArrowRight", 10), ("ArrowRight", 5), ("End", 1), ("Home", 1)):
        page.press(key, times)
        found.append(opacities(page))
    assert found == [[1, 0, 0], [1, 0.5, 0], [1, 1, 0], [1, 1, 0.25], [1, 1, 1], [1, 0, 0]]


def test_the_layers_lie_on_one_another(page):
    boxes = page.evaluate(
        "[...document.querySelectorAll('.layer img')].filter(e => e.checkVisibility()).map(e =>"
        " JSON.stringify(e.getBoundingClientRect()))"
    )
    assert len(boxes) == 3 and len(set(boxes)) == 1


def test_the_slider_says_what_is_seen(page):
    page.evaluate("document.getElementById('fade').focus()")
    texts = []
    for _ in range(3):
        texts.append(page.evaluate("document.getElementById('fade').getAttribute('aria-valuetext')"))
        page.press("ArrowRight", 15)
    assert texts == ["moving", "75 % from moving to warped by MSE", "50 % from warped by MSE to fixed"]


def test_method_and_pair_are_chosen_by_keyboard(page):
    shown = "[...document.querySelectorAll('.layer img')].filter(e => e.checkVisibility()).map(e => e.alt)[1]"
    page.evaluate("document.getElementById('method').focus()")
    page.press("ArrowDown")
    assert (chosen(page, "method"), page.evaluate(shown)) == ("NCC", "moving image, warped by NCC")
    page.evaluate("document.getElementById('pair').focus()")
    page.press("ArrowDown")  # the second pair knows no NCC
    assert (chosen(page, "pair"), chosen(page, "method"), page.evaluate(shown)) == (
        "second",
        "MSE",
        "moving image, warped by MSE",
    )


def test_slices_are_offered_for_volumes_only(page):
    visible = "document.getElementById('slice').checkVisibility()"
    caption = (
        "[...document.querySelectorAll('.stack figcaption')].filter(e => e.checkVisibility()).map(e => e.textContent)"
    )
    assert page.evaluate(visible) is False
    page.evaluate("document.getElementById('pair').focus()")
    page.press("ArrowDown")
    assert page.evaluate(visible) is True and page.evaluate(caption) == ["second; axis 1, slice 4 of 6"]  # the middle
    page.evaluate("document.getElementById('slice').focus()")
    page.press("ArrowDown")
    assert page.evaluate(caption) == ["second; axis 1, slice 5 of 6"]


def test_a_click_sorts_a_table_and_leaves_the_others(page):
    page.click("document.querySelectorAll('table th')[1]")  # Dice
    assert rows(page) == ["MSE", "NCC", "identity"]
    page.click("document.querySelectorAll('table th')[1]")
    assert rows(page) == ["identity", "NCC", "MSE"]
    page.click("document.querySelectorAll('table th')[2]")  # HD95: 12 above 2, and what was not measured last
    assert rows(page) == ["NCC", "MSE", "identity"]
    assert page.evaluate("[...document.querySelectorAll('table')[0].querySelectorAll('th')].map(e => e.ariaSort)") == [
        "none",
        "none",
        "descending",
    ]
    assert rows(page, 2) == ["segmentation", "autoencoder"]


def test_a_heading_sorts_by_keyboard_and_text_from_a_to_z(page):
    page.evaluate("document.querySelectorAll('table')[2].querySelector('th button').focus()")
    page.press("Enter")
    assert rows(page, 2) == ["autoencoder", "segmentation"]


def test_the_classes_are_folded_and_open_on_a_click(page):
    seen = "document.querySelectorAll('table')[1].checkVisibility()"
    assert page.evaluate(seen) is False
    page.click("document.querySelector('details summary')")
    assert page.evaluate(seen) is True and rows(page, 1) == [str(k) for k in range(9)]


def test_print_shows_every_method_side_by_side_and_no_controls(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert opacities(page) == [1, 1, 1, 1]
        assert (
            page.evaluate(
                "new Set([...document.querySelectorAll('.layer')].filter(e => e.checkVisibility()).map(e =>"
                " e.offsetLeft)).size"
            )
            == 4
        )
        assert page.evaluate("document.getElementById('fade').checkVisibility()") is False
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_script_and_pictures_load_under_the_security_policy(page):
    assert page.evaluate("document.querySelector('#state').textContent") == "moving"
    assert (
        page.evaluate(
            "[...document.images].filter(e => e.checkVisibility()).every(e => e.complete && e.naturalWidth > 0)"
        )
        is True
    )
