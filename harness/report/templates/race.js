// The race: every arm writes one prompt at the pace that its rounds recorded.
(() => {
  const holder = document.getElementById("browser-data");
  const root = document.getElementById("race");
  if (!holder || !root) return;
  const data = JSON.parse(holder.textContent);
  if (!data.race || !data.race.order.length) return;
  const byId = (id) => document.getElementById(id);
  const [play, replay, speed, picker, asked, field, said] = [
    "race-play", "race-replay", "race-speed", "race-prompt", "race-asked", "race-lanes", "race-said",
  ].map(byId);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const PLACES = ["1st", "2nd", "3rd"];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let lanes = [];
  let now = 0; // microseconds since the start of the race
  let end = 0;
  let before = null; // the last frame's time stamp; null while the race stands
  let waiting = 0; // the frame that was asked for: at most one

  const title = (prompt) => prompt.id + (prompt.turn ? ", turn " + (prompt.turn + 1) : "");
  for (const index of data.race.order) {
    const totals = Object.values(data.race.lanes[index]).map((l) => l.us.reduce((a, b) => a + b, l.prefill));
    const apart = Math.max(...totals) / Math.min(...totals);
    picker.append(new Option(title(data.prompts[index]) + " · " + apart.toFixed(2) + "× apart", index));
  }

  const lane = (arm, output, times) => {
    const box = make("div", "lane");
    box.style.setProperty("--arm", "var(--" + arm.colour + ")");
    const head = make("h3", "", arm.label);
    const place = make("span", "place");
    head.append(place);
    const clock = make("p", "clock");
    const track = make("div", "track");
    const bar = make("i");
    track.append(bar);
    const text = make("div", "text");
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", arm.label + ", output");
    const drafts = make("p", "drafts");
    box.append(head, clock, track, text, drafts);
    const ends = [times.prefill];
    for (const us of times.us) ends.push(ends[ends.length - 1] + us);
    const baseline = arm.arm === "baseline";
    const total = 1 + output.rounds.reduce((sum, r) => sum + r[4], 0);
    return { box, place, clock, bar, text, drafts, ends, output, baseline, total, even: times.even, label: arm.label,
      done: -1, tokens: 0, drafted: 0, accepted: 0, finish: ends[ends.length - 1] };
  };

  const clear = (one) => {
    Object.assign(one, { done: -1, tokens: 0, drafted: 0, accepted: 0 });
    one.text.replaceChildren();
    one.place.textContent = "";
    one.box.classList.remove("finished");
  };

  // One more event of a lane: the first token, or the tokens of a round.
  const step = (one, flash) => {
    one.done += 1;
    for (const node of one.text.querySelectorAll("s")) node.remove();
    if (one.done === 0) {
      one.text.append(one.output.first);
      one.tokens = 1;
      return;
    }
    const [drafted, own, k, accepted, emitted] = one.output.rounds[one.done - 1];
    one.tokens += emitted;
    one.drafted += k;
    one.accepted += accepted;
    if (one.baseline) {
      one.text.append(drafted + own);
      return;
    }
    if (drafted) one.text.append(make("span", flash ? "drafted flash" : "drafted", drafted));
    // Records know how many drafts were rejected, not which: each is a struck-out blank until the next round.
    if (flash && k > accepted) one.text.append(make("s", "rejected", "▯".repeat(k - accepted)));
    if (own) one.text.append(make("span", "own", own));
  };

  const show = (one) => {
    const at = Math.min(now, one.finish);
    const seconds = at / 1e6;
    one.clock.textContent = one.tokens + " of " + one.total + " tokens · " + seconds.toFixed(2) + " s" +
      (one.tokens > 0 ? " · " + (one.tokens / seconds).toFixed(0) + " tokens/s" : " · reading the prompt");
    one.bar.style.width = (100 * one.tokens) / one.total + "%";
    one.drafts.textContent = one.baseline ? "no drafts" : one.accepted + " drafts accepted, " +
      (one.drafted - one.accepted) + " rejected" + (one.even ? " · round times not recorded, shared out evenly" : "");
    if (now >= one.finish) {
      const ahead = lanes.filter((other) => other.finish < one.finish).length;
      one.place.textContent = PLACES[ahead] || ahead + 1 + "th";
      one.box.classList.add("finished");
    }
  };

  const advance = (flash) => {
    for (const one of lanes) {
      const from = one.done;
      while (one.done + 1 < one.ends.length && one.ends[one.done + 1] <= now) step(one, flash);
      if (now >= one.finish) for (const node of one.text.querySelectorAll("s")) node.remove();
      show(one);
      if (flash && one.done !== from) one.text.scrollTop = one.text.scrollHeight;
    }
  };

  const label = () => { play.textContent = before !== null ? "Pause" : "Play"; };
  const pause = () => {
    cancelAnimationFrame(waiting);
    before = null;
    label();
  };
  const finished = () => {
    pause();
    root.dataset.state = "finished";
    const order = [...lanes].sort((a, b) => a.finish - b.finish);
    said.textContent = order.map((one) => one.label + " " + (one.finish / 1e6).toFixed(2) + " s").join(", ");
  };
  const toEnd = () => {
    now = end;
    advance(false);
    finished();
  };
  const frame = (stamp) => {
    if (before === null) return;
    now = Math.min(end, now + Math.max(0, stamp - before) * 1000 * Number(speed.value));
    before = stamp;
    advance(!still.matches);
    if (now >= end) finished();
    else waiting = requestAnimationFrame(frame);
  };
  const start = () => {
    if (now >= end) restart();
    root.dataset.state = "running";
    said.textContent = "";
    before = performance.now();
    label();
    waiting = requestAnimationFrame(frame);
  };
  const restart = () => {
    now = 0;
    lanes.forEach(clear);
    advance(false);
  };
  const toggle = () => {
    if (before === null) start();
    else {
      pause();
      root.dataset.state = "paused";
    }
  };
  const again = () => {
    pause();
    restart();
    start();
  };

  const pick = () => {
    pause();
    const prompt = data.prompts[picker.value];
    const times = data.race.lanes[picker.value];
    const arms = new Map(data.arms.map((arm) => [arm.label, arm]));
    lanes = Object.keys(times).map((name) => lane(arms.get(name), prompt.arms[name], times[name]));
    end = Math.max(...lanes.map((one) => one.finish));
    asked.textContent = prompt.prompt;
    asked.hidden = !prompt.prompt;
    field.replaceChildren(...lanes.map((one) => one.box));
    toEnd();
  };

  play.addEventListener("click", toggle);
  replay.addEventListener("click", again);
  picker.addEventListener("change", pick);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button, select")) return;
    const act = { " ": toggle, r: again }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  root.hidden = false;
  pick();
})();
