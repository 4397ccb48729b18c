"""Time the redraw of an 80 x 80 landscape in headless Chromium; print the result as JSON.

One redraw is one step of a slider: new values on both grids, new contours, a new path, drawn.
"""

import json
import shutil
import statistics

from playwright.sync_api import sync_playwright

from lossviz.widgets import landscape
from lossviz.widgets.runtime import page_scripts

NAMES = ("chromium", "chromium-browser", "google-chrome")
STEPS = 50
START = """async (figure) => {
  const el = document.body.appendChild(document.createElement('div'));
  await window.lossvizLive.render({ model: { get: () => figure }, el });
}"""
TIME = """async ([signal, values]) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view, times = [];
  for (const value of values) {
    await new Promise(requestAnimationFrame);
    const start = performance.now();
    await view.signal(signal, value).runAsync();
    times.push(performance.now() - start);
  }
  return times;
}"""


def measure() -> dict[str, object]:
    """Median and 95th percentile in milliseconds over STEPS steps, after as many to warm up."""
    figure = landscape("comp_sum", label_noise=0.2)
    slider = figure.controls[0]
    step = (slider.stop - slider.start) / STEPS
    sweep = [slider.signal, [slider.start + step * k for k in range(STEPS)]]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, NAMES)), None),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 800, "height": 900})
        page.set_content("<!doctype html><body></body>")
        for text in page_scripts().values():
            page.add_script_tag(content=text)
        page.evaluate(START, figure.payload)
        page.evaluate(TIME, sweep)
        times = page.evaluate(TIME, sweep)
        version = browser.version
        browser.close()
    return {
        "grid": [80, 80],
        "renderer": figure.renderer,
        "chromium": version,
        "redraw_median_ms": round(statistics.median(times), 2),
        "redraw_p95_ms": round(statistics.quantiles(times, n=20)[-1], 2),
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
