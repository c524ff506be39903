// A table that is wider than its place is scrolled by keys, too.
(() => {
  const reach = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      const given = { tabindex: "0", role: "group", "aria-label": box.dataset.name || "Table" };
      for (const [name, value] of Object.entries(given)) {
        if (box.scrollWidth > box.clientWidth) box.setAttribute(name, value);
        else box.removeAttribute(name);
      }
    }
  };
  addEventListener("resize", reach);
  reach();
})();
