"""The first chapter as `make lab` opens it, in a browser that reaches this machine only."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

BOOK = Path(__file__).parents[2] / "book"
CHAPTER = "cross-entropy.md"
PATIENCE = 1800  # seconds: longer than any busy machine takes, so that only a hang ends it
LIVE_FIGURE = re.compile(r"^(curve|landscape)\(", re.MULTILINE)
OUTSIDE = re.compile(r"^(?!(http|ws)://127\.0\.0\.1[:/]|data:|blob:)")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address, with token, of a JupyterLab on a copy of the chapters."""
    home = tmp_path_factory.mktemp("lab")
    book = home / "book"
    shutil.copytree(BOOK, book)
    settings = book / "_lab" / "labconfig" / "default_setting_overrides.json"
    overrides = json.loads(settings.read_text())
    # else only the cells in view are in the page
    overrides["@jupyterlab/notebook-extension:tracker"] = {"windowingMode": "none"}
    settings.write_text(json.dumps(overrides))
    environment = os.environ | {
        "JUPYTER_CONFIG_PATH": str(book / "_lab"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "OMP_NUM_THREADS": "1",  # the other test processes want the cores as well
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={book}"]
    command += ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    try:
        yield _address(server, home)
    finally:
        server.terminate()
        try:
            server.wait(20)  # it stops its kernels first
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(server, home):
    """Where the server says it listens, once it does."""
    for _ in range(PATIENCE * 4):
        for record in (home / "runtime").glob("jpserver-*.json"):
            found = json.loads(record.read_text() or "{}")
            if found and _answers(found["port"]):
                return f"{found['url']}lab/tree/{CHAPTER}?token={found['token']}"
        if server.poll() is not None:
            break
        time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()}")


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def requests():
    """Addresses that the page asked for."""
    return []


@pytest.fixture(scope="module")
def page(lab, requests, browser):
    """The chapter, open as a notebook, every cell executed."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda websocket: requests.append(websocket.url))
    page.route(OUTSIDE, lambda route: route.abort())
    page.goto(lab)
    # before the kernel has answered, JupyterLab would ask which one to run
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    page.wait_for_function(
        """() => document.querySelector("[data-mime-type='application/vnd.jupyter.error']")
            || [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
                .every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))""",
        timeout=PATIENCE * 1000,
        polling=500,
    )
    yield page
    page.close()


def _until(happens):
    """Whether something happens before long."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _moves(slider, picture):
    """Whether the arrow key on a slider changes a picture that was at rest."""
    slider.scroll_into_view_if_needed()
    slider.focus()
    before = picture()
    assert picture() == before
    slider.press("ArrowRight")
    return _until(lambda: picture() != before)


# One test, as opening and running the chapter is most of the work.
def test_chapter_runs_in_jupyterlab_its_figures_move_and_nothing_outside_is_asked_for(
    page, requests
):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() == []

    figures = page.locator(".lossviz-stage[data-lossviz]")
    expect(figures).to_have_count(
        len(LIVE_FIGURE.findall((BOOK / CHAPTER).read_text())), timeout=PATIENCE * 1000
    )
    for figure in figures.all():
        assert figure.get_attribute("data-lossviz") == "ready", figure.inner_text()
        slider = figure.locator("input[type=range]").first
        assert _moves(slider, figure.locator(".lossviz-picture").screenshot)

    explorer = page.locator(".widget-vbox", has=page.locator("img[alt^='Landscape of']")).first
    image = explorer.locator("img")
    assert _moves(explorer.locator(".noUi-handle").first, lambda: image.get_attribute("src"))
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0

    assert requests
    assert [url for url in requests if OUTSIDE.match(url)] == []
