// Brings the live figures of a page to life; loads their runtime only when there is one to draw.
// Names and reaches what the theme leaves to the mouse.
(() => {
  const DATA = 'script[type="application/vnd.lossviz.figure+json"]';
  const root = document.documentElement.dataset.content_root ?? "";

  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}_static/vendor/${name}`;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} is missing`));
      document.head.append(script);
    });
  }

  function bringToLife(figure) {
    const stage = document.createElement("div");
    figure.prepend(stage);
    const model = { get: () => JSON.parse(figure.querySelector(DATA).textContent) };
    window.lossvizLive.render({ model, el: stage });
  }

  // The chevrons of the contents are pictures alone.
  function nameChevrons() {
    for (const summary of document.querySelectorAll("li.has-children summary"))
      summary.ariaLabel = `Pages under ${summary.closest("li").querySelector("a").textContent}`;
  }

  // A list of references is no list to a screen reader, as its entries are no items.
  function freeCitations() {
    for (const list of document.querySelectorAll(".citation-list[role=list]"))
      list.removeAttribute("role");
  }

  // What scrolls inside itself must scroll by the arrow keys as well.
  function reachScrolling() {
    const wide = "mjx-container[display=true], div.math, pre, .pst-scrollable-table-container";
    for (const box of document.querySelectorAll(wide))
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
  }

  async function helpAlong() {
    nameChevrons();
    freeCitations();
    await window.MathJax?.startup?.promise;
    reachScrolling();
    window.addEventListener("resize", reachScrolling);
  }

  async function start() {
    helpAlong();
    const figures = document.querySelectorAll("figure.lossviz-live");
    if (!figures.length) return;
    await load("lossviz-vega.js");
    await load("lossviz-live.js");
    figures.forEach(bringToLife);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
