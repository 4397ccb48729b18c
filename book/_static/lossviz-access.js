// Names and reaches what the theme leaves to the eye and the mouse.
(() => {
  const WIDE = "mjx-container[display=true], div.math, pre, .pst-scrollable-table-container";

  // The chevrons of the contents are pictures alone.
  function nameChevrons() {
    for (const summary of document.querySelectorAll("li.has-children summary"))
      summary.ariaLabel = `Pages under ${summary.closest("li").querySelector("a").textContent}`;
  }

  // The list of references claims to be one, but its entries are no items of it.
  function freeCitations() {
    for (const list of document.querySelectorAll(".citation-list[role=list]"))
      list.removeAttribute("role");
  }

  // What scrolls inside itself must do so by the arrow keys as well, and show that it does. Boxes
  // change their width after the window does, and their contents once fonts have come.
  function reachScrolling() {
    const watched = new ResizeObserver((seen) => {
      for (const box of new Set(seen.map(({ target }) => target.closest(WIDE)))) {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
        else box.removeAttribute("tabindex");
        showMore({ target: box });
      }
    });
    for (const box of document.querySelectorAll(WIDE))
      for (const each of [box, ...box.children]) watched.observe(each);
  }

  function showMore({ target: box }) {
    if (box.matches?.(WIDE))
      box.classList.toggle("lossviz-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  }

  async function start() {
    nameChevrons();
    freeCitations();
    await window.MathJax?.startup?.promise;
    reachScrolling();
    document.addEventListener("scroll", showMore, { capture: true, passive: true });
  }

  document.addEventListener("DOMContentLoaded", start);
})();
