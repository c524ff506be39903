"use strict";
// The prompt browser. Texts of prompts and models enter the page only as text nodes.
(() => {
  const holder = document.getElementById("browser-data");
  const root = document.getElementById("prompt-browser");
  if (!holder || !root) return;
  const data = JSON.parse(holder.textContent);
  if (!data.prompts.length) return;
  const byId = (id) => document.getElementById(id);
  const [list, detail, search, category, verdict, count] = [
    "prompt-list", "prompt-detail", "filter-text", "filter-category", "filter-verdict", "filter-count",
  ].map(byId);
  const open = new Set(data.open);
  const VERDICTS = { exact: "exact", tie: "tie", mismatch: "mismatch", error: "failed", none: "not judged" };
  let selected = -1;

  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const outputText = (output) => (output.first || "") + (output.rounds || []).map((r) => r[0] + r[1]).join("");
  const hay = data.prompts.map((p) =>
    [p.id, p.prompt, ...Object.values(p.arms).map(outputText)].join("\n").toLowerCase());
  const ratio = (value) => (value == null ? "" : value.toFixed(2) + "×");

  const options = (select, everything, values) => {
    select.append(new Option(everything, ""));
    for (const [value, text] of values) select.append(new Option(text, value));
  };
  options(category, "All categories", [...new Set(data.prompts.map((p) => p.category))].map((c) => [c, c]));
  const seen = new Set(data.prompts.map((p) => p.verdict));
  options(verdict, "All verdicts", Object.entries(VERDICTS).filter(([name]) => seen.has(name)));

  const buttons = data.prompts.map((prompt, index) => {
    const button = make("button");
    button.type = "button";
    button.setAttribute("role", "option");
    button.dataset.index = index;
    const name = make("span", "name");
    const id = make("span");
    id.append(make("span", "dot v-" + prompt.verdict), prompt.id + (prompt.turn ? " · turn " + (prompt.turn + 1) : ""));
    name.append(id, make("small", "", prompt.category));
    button.append(name, make("span", "first", prompt.prompt.trim().split("\n")[0] || " "));
    button.addEventListener("click", () => choose(index));
    list.append(button);
    return button;
  });
  const nothing = make("p", "empty", "No prompt matches.");
  list.append(nothing);

  const filter = () => {
    const words = search.value.toLowerCase();
    let shown = 0;
    let first = -1;
    data.prompts.forEach((prompt, index) => {
      const fits = (!category.value || prompt.category === category.value) &&
        (!verdict.value || prompt.verdict === verdict.value) && (!words || hay[index].includes(words));
      buttons[index].hidden = !fits;
      if (fits && first < 0) first = index;
      shown += fits;
    });
    nothing.hidden = shown > 0;
    count.textContent = shown === data.prompts.length ? shown + " prompts" : shown + " of " + data.prompts.length + " prompts";
    if (first >= 0 && (selected < 0 || buttons[selected].hidden)) choose(first);
  };

  const showOutput = (arm, output, line) => {
    const box = make("div", "output v-" + output.verdict);
    box.style.setProperty("--arm", "var(--" + arm.colour + ")");
    const head = make("h4", "", arm.label);
    const isBaseline = arm.arm === "baseline";
    head.append(make("span", "verdict", isBaseline ? "the reference" : VERDICTS[output.verdict] || output.verdict));
    box.append(head);
    if (output.verdict === "error") {
      box.append(make("p", "why", output.note));
      return box;
    }
    const said = [
      isBaseline || output.speedup == null ? "" : ratio(output.speedup) + " as fast",
      output.tau == null || isBaseline ? "" : output.tau.toFixed(2) + " tokens/round",
      output.tokens + " tokens",
      output.finish === "length" ? "stopped at the token limit" : "",
    ];
    box.append(make("p", "figures-line", said.filter(Boolean).join(" · ")));
    if (output.note) box.append(make("p", "why", output.note));
    if (!isBaseline && output.rounds.length) {
      const strip = make("div", "strip");
      const most = Math.max(...output.rounds.map((r) => r[4]));
      for (const r of output.rounds) strip.append(make("i"));
      output.rounds.forEach((r, i) => { strip.children[i].style.height = (100 * r[4]) / most + "%"; });
      strip.title = "Tokens of each round, first to last";
      box.append(strip);
    }
    const text = make("div", "text");
    const first = make("span", "own", output.first);
    text.append(isBaseline ? output.first : first);
    output.rounds.forEach(([drafted, own, k, accepted, emitted], index) => {
      if (isBaseline) {
        text.append(drafted + own);
        return;
      }
      const round = make("span", index % 2 ? "round odd" : "round");
      if (drafted) round.append(make("span", "drafted", drafted));
      if (own) round.append(make("span", "own", own));
      const words = "round " + (index + 1) + ": " + accepted + " of " + k + " drafts accepted, " + emitted +
        (emitted === 1 ? " token" : " tokens");
      round.title = words;
      const describe = () => { line.textContent = arm.label + ", " + words; };
      round.addEventListener("mouseenter", describe);
      round.addEventListener("click", describe);
      text.append(round);
    });
    box.append(text);
    return box;
  };

  const render = () => {
    const prompt = data.prompts[selected];
    const title = make("h3");
    title.append(make("span", "", prompt.id + (prompt.turn ? ", turn " + (prompt.turn + 1) : "")), make("small", "", prompt.category));
    const parts = [title];
    if (prompt.prompt) parts.push(make("div", "asked", prompt.prompt));
    const arms = data.arms.filter((arm) => prompt.arms[arm.label]);
    if (arms.length > 1) {
      const chips = make("div", "chips");
      for (const arm of arms) {
        const chip = make("button");
        const output = prompt.arms[arm.label];
        if (!["exact", "none"].includes(output.verdict)) chip.append(make("span", "dot v-" + output.verdict));
        const swatch = make("i", "swatch");
        swatch.style.setProperty("--s", "var(--" + arm.colour + "-shape)");
        chip.append(swatch, arm.label);
        chip.type = "button";
        chip.style.setProperty("--c", "var(--" + arm.colour + ")");
        chip.setAttribute("aria-pressed", String(open.has(arm.label)));
        chip.addEventListener("click", () => {
          if (!open.delete(arm.label)) open.add(arm.label);
          render();
        });
        chips.append(chip);
      }
      parts.push(chips);
    }
    const line = make("p", "round-line");
    const outputs = make("div", "outputs");
    for (const arm of arms) if (open.has(arm.label)) outputs.append(showOutput(arm, prompt.arms[arm.label], line));
    detail.replaceChildren(...parts, outputs, line);
    for (const pane of detail.querySelectorAll(".asked, .text")) if (pane.scrollHeight > pane.clientHeight) pane.tabIndex = 0;
  };

  const choose = (index) => {
    if (selected >= 0) buttons[selected].setAttribute("aria-selected", "false");
    selected = index;
    buttons[index].setAttribute("aria-selected", "true");
    const [top, bottom] = [buttons[index].offsetTop - list.offsetTop, buttons[index].offsetHeight];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + bottom > list.scrollTop + list.clientHeight) list.scrollTop = top + bottom - list.clientHeight;
    render();
  };

  const follow = () => {
    const found = /^#p(\d+)$/.exec(location.hash);
    if (!found || !(found[1] in data.prompts)) return;
    search.value = category.value = verdict.value = "";
    filter();
    choose(Number(found[1]));
    byId("browser").scrollIntoView();
  };

  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    let next = selected + step;
    while (next >= 0 && next < buttons.length && buttons[next].hidden) next += step;
    if (next >= 0 && next < buttons.length) {
      choose(next);
      buttons[next].focus({ preventScroll: true });
    }
  });
  for (const node of [search, category, verdict]) node.addEventListener("input", filter);
  window.addEventListener("hashchange", follow);
  root.hidden = false;
  // The first prompt to show is the one where the arms differ most.
  if (data.race && data.race.order.length) choose(data.race.order[0]);
  filter();
  follow();
})();
