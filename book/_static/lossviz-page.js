// Brings the live figures of a page to life; loads their runtime only when there is one to draw.
(() => {
  const DATA = 'script[type="application/vnd.lossviz.figure+json"]';
  const root = document.documentElement.dataset.content_root ?? "";

  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}_static/vendor/${name}`;
      script.async = false;  // fetched together, run in order
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

  async function start() {
    const figures = document.querySelectorAll("figure.lossviz-live");
    if (!figures.length) return;
    await Promise.all(["lossviz-vega.js", "lossviz-live.js"].map(load));
    figures.forEach(bringToLife);
  }

  // the page is read: earlier than DOMContentLoaded, which waits for all of the theme's scripts
  if (document.readyState === "loading") {
    document.addEventListener("readystatechange", start, { once: true });
  } else start();
})();
