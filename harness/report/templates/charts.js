// Charts: a value is read out where the pointer is, under a finger, or by the arrow keys from one tab stop.
(() => {
  const REACH = { mouse: 22, pen: 26, touch: 36 }; // pixels
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  for (const chart of document.querySelectorAll(".chart")) {
    const drawings = [...chart.querySelectorAll("svg")].map((svg) => [svg, [...svg.querySelectorAll(".mark")]]);
    const values = drawings[0][1].map((mark) => {
      const title = mark.querySelector("title");
      const text = title.textContent;
      title.remove(); // the page's own tip shows it
      return { text, link: mark.dataset.link };
    });
    if (!values.length) continue;
    const tip = document.createElement("p");
    tip.className = "tip";
    tip.setAttribute("role", "status");
    chart.append(tip);
    chart.tabIndex = 0;
    chart.setAttribute("role", "application");
    chart.setAttribute("aria-roledescription", "chart");
    chart.setAttribute("aria-label", drawings[0][0].getAttribute("aria-label") + ": " + values.length +
      (values.length === 1 ? " value" : " values") + ", arrow keys read them");
    let current = -1;

    const seen = () => drawings.find(([svg]) => svg.getClientRects().length) || drawings[0];
    const scale = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const place = (mark) => [mark.cx.baseVal.value, mark.cy.baseVal.value];

    const hide = () => {
      for (const [, marks] of drawings) for (const mark of marks) mark.classList.remove("on");
      tip.textContent = "";
      tip.classList.remove("shown");
    };
    const show = (index) => {
      if (index === current && tip.textContent) return;
      hide();
      current = index;
      const [svg, marks] = seen();
      marks[index].classList.add("on");
      tip.textContent = values[index].text;
      const [x, y] = place(marks[index]).map((part) => part * scale(svg));
      const side = Math.min(Math.max(0, x - tip.offsetWidth / 2), chart.clientWidth - tip.offsetWidth);
      const above = svg.offsetTop + y - tip.offsetHeight - 12;
      tip.style.left = side + "px";
      tip.style.top = (above >= 0 ? above : y + 14) + "px";
      tip.classList.add("shown");
    };
    const nearest = (event) => {
      const [svg, marks] = seen();
      const box = svg.getBoundingClientRect();
      let [best, least] = [-1, REACH[event.pointerType] || REACH.mouse];
      marks.forEach((mark, index) => {
        const [x, y] = place(mark).map((part) => part * scale(svg));
        const away = Math.hypot(event.clientX - box.left - x, event.clientY - box.top - y);
        if (away < least) [best, least] = [index, away];
      });
      return best;
    };
    const follow = () => {
      if (current >= 0 && values[current].link) location.hash = values[current].link;
    };

    let armed = -1; // a first touch shows the value, a second one follows its link
    chart.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const index = nearest(event);
      if (index >= 0) show(index);
      else if (document.activeElement !== chart) hide();
      chart.classList.toggle("linked", index >= 0 && Boolean(values[index].link));
    });
    chart.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && document.activeElement !== chart) hide();
    });
    chart.addEventListener("click", (event) => {
      const index = nearest(event);
      if (index < 0) return hide();
      const again = event.pointerType !== "touch" || armed === index;
      armed = index;
      show(index);
      if (again) follow();
    });
    chart.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const last = values.length - 1;
      const to = event.key === "Home" ? 0 : event.key === "End" ? last
        : event.key in STEPS ? Math.min(last, Math.max(0, current + STEPS[event.key])) : -1;
      if (to >= 0) show(to);
      else if (event.key === "Enter") follow();
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    });
    chart.addEventListener("focus", () => {
      if (chart.matches(":focus-visible")) show(Math.max(0, current));
    });
    chart.addEventListener("blur", hide);
  }
})();
