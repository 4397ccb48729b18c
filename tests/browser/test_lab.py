"""The first chapter as `make lab` and `make edit` open it, in a browser without a network."""

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
CHAPTER = "cross-entropy"
PATIENCE = 1800  # seconds: longer than any busy machine takes, so that only a hang ends it
LIVE_FIGURE = re.compile(r"^(curve|landscape)\(", re.MULTILINE)
HIDDEN = re.compile(r"^:?tags:.*hide-(?:input|cell)", re.MULTILINE)
RAW = re.compile(r"\{[a-z][\w:-]*\}`|:::|`{3,}\{|\{(glue|cite|eq|term|prf):?")
OUTSIDE = re.compile(r"^(?!(http|ws)://127\.0\.0\.1[:/]|data:|blob:)")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder with copies of the pages, and of the chapter's notebook."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(site, home):
    """Addresses, with token, of files in a JupyterLab on these copies."""
    book = home / "book"
    shutil.copytree(BOOK, book)
    shutil.copy(site / "_sources" / "book" / f"{CHAPTER}.ipynb", home)
    settings = book / "_jupyter" / "labconfig" / "default_setting_overrides.json"
    overrides = json.loads(settings.read_text())
    # else only the cells in view are in the page
    overrides["@jupyterlab/notebook-extension:tracker"] = {"windowingMode": "none"}
    settings.write_text(json.dumps(overrides))
    environment = os.environ | {
        "JUPYTER_CONFIG_PATH": str(book / "_jupyter"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "OMP_NUM_THREADS": "1",  # the other test processes want the cores as well
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={home}"]
    command += ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    try:
        address = _address(server, home)
        yield lambda path: address.format(path)
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
                return f"{found['url']}lab/tree/{{}}?token={found['token']}"
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
def opened(lab, requests, browser):
    """Open a file of the copies as a notebook, with its kernel at rest."""

    def open_file(path):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda websocket: requests.append(websocket.url))
        page.route(OUTSIDE, lambda route: route.abort())
        page.goto(lab(path))
        # before the kernel has answered, JupyterLab would ask which one to run
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        return page

    return open_file


def _run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    page.wait_for_function(
        """() => document.querySelector("[data-mime-type='application/vnd.jupyter.error']")
            || [...document.querySelectorAll(".jp-CodeCell .jp-InputArea .jp-InputPrompt")]
                .every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))""",
        timeout=PATIENCE * 1000,
        polling=500,
    )
    # a folded cell shows no number
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


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


def _folded(page):
    # JupyterLab opens what was open before as well, behind it
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-InputPlaceholder")


# One test, as opening and running the chapter is most of the work.
def test_copy_of_a_chapter_reads_runs_and_moves_and_nothing_outside_is_asked_for(opened, requests):
    page = opened(f"{CHAPTER}.ipynb")
    source = (BOOK / f"{CHAPTER}.md").read_text()
    expect(_folded(page)).to_have_count(1 + len(HIDDEN.findall(source)))
    text = " ".join(page.locator(".jp-MarkdownOutput").all_inner_texts())
    assert "Mao" in text
    assert RAW.findall(text) == []
    expect(page.locator(".jp-MarkdownOutput details:not([open])").first).to_be_visible()

    _run_all(page)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() == []

    figures = page.locator(".lossviz-stage[data-lossviz]")
    expect(figures).to_have_count(len(LIVE_FIGURE.findall(source)), timeout=PATIENCE * 1000)
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
    page.close()


def test_opening_a_page_itself_and_saving_it_changes_nothing(opened, home):
    path = home / "book" / f"{CHAPTER}.md"
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    page = opened(f"book/{CHAPTER}.md")
    expect(_folded(page)).to_have_count(len(HIDDEN.findall(before.decode())))
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.locator(".lm-Menu-item[data-command='docmanager:save']").click()
    assert _until(lambda: path.stat().st_mtime_ns != written)
    assert path.read_bytes() == before
    page.close()
