// The browser of a comparison's items: the same in the notebook (a widget) and in the exported page (plain data).
// Everything that models, prompts and columns say goes through textContent: nothing of it becomes an element.
function itemsBrowser(root, wires) {
  const make = (kind, name, text) => {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const head = wires.get("heading"), names = head.names;
  const state = { show: "split", left: 0, right: names.length > 1 ? 1 : 0, item: null, slice: "" };
  const MOST = 400, serial = (itemsBrowser.made = (itemsBrowser.made || 0) + 1);

  root.classList.add("onb", "onb-items", "tex2jax_ignore", "mathjax_ignore");
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // digits would be JupyterLab's own commands
  const bar = make("div", "head"), list = make("ul", "list"), detail = make("div", "detail");
  const said = make("div", "dim said"), panes = make("div", "panes");
  const title = make("div", "name", "Items"), counted = make("span", "dim");
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Items: arrow up and down choose one");
  detail.setAttribute("aria-live", "polite");
  said.setAttribute("role", "status");
  panes.append(list, detail);

  const choice = (label, values, value, change) => {
    const wrap = make("label", "pick", label + " "), select = make("select");
    for (const [key, text] of values) {
      const option = make("option", "", text);
      option.value = key;
      select.append(option);
    }
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    wrap.append(select);
    return [wrap, select];
  };
  const shows = [["split", "on which strategies disagree"], ["all", "all"], ...names.map((name, at) => ["of" + at, "of " + name])];
  const [showWrap, show] = choice("Show items", shows, state.show, value => {
    state.show = value;
    if (value.startsWith("of")) lookAt(Number(value.slice(2)));
    draw();
  });
  const sides = names.map((name, at) => [String(at), name]);
  const [leftWrap, left] = choice("left", sides, String(state.left), value => { state.left = Number(value); draw(); });
  const [rightWrap, right] = choice("right", sides, String(state.right), value => { state.right = Number(value); draw(); });
  bar.append(title, showWrap, leftWrap, rightWrap, counted);
  if (head.simulated) bar.append(make("span", "chip sim", "simulated"));

  const buttons = make("div", "marks");
  if (wires.mark) {
    buttons.setAttribute("role", "group");
    buttons.setAttribute("aria-label", "Which answer is better");
    for (const [key, label, mark] of [["1", "left is better", "better"], ["0", "the same", "same"], ["2", "right is better", "worse"]]) {
      const button = make("button", "mark", `${label} [${key}]`);
      button.type = "button";
      button.setAttribute("aria-keyshortcuts", key);
      button.addEventListener("click", () => put(mark));
      buttons.append(button);
    }
    buttons.append(make("span", "dim", "Keys: ↑ ↓ choose an item, 1 or ← left is better, 2 or → right is better, 0 the same."));
  }
  root.append(bar, panes, buttons, said);

  function lookAt(at) {
    state.left = at;
    if (state.right === at) state.right = names.findIndex((_, other) => other !== at);
    if (state.right < 0) state.right = at;
    left.value = String(state.left);
    right.value = String(state.right);
  }
  function listed() {
    const rows = wires.get("rows").rows || [];
    const slice = wires.get("slice") || "";
    const of = state.show.startsWith("of") ? Number(state.show.slice(2)) : null;
    const kept = rows.filter(row => (!slice || row.slice === slice) &&
      (state.show === "all" || (state.show === "split" && row.split) || (of !== null && row.scores[of] !== null)));
    if (state.show === "split") return kept;
    const first = of === null ? row => row.item : row => row.scores[of] * 1e9 + row.item; // what went wrong first
    return kept.sort((one, other) => first(one) - first(other));
  }
  const sign = score => score === null ? "–" : score === 1 ? "✓" : score === 0 ? "✗" : String(score);
  function markOf(item) {
    const pair = [names[state.left], names[state.right]];
    const found = (wires.get("marks") || []).filter(one => one.item === item && pair.includes(one.strategy) && pair.includes(one.versus)).pop();
    if (!found) return "";
    if (found.mark === "same") return "the same";
    return (found.mark === "better" ? found.strategy : found.versus) + " better";
  }
  function draw() {
    const rows = listed(), shown = rows.slice(0, MOST);
    if (!shown.some(row => row.item === state.item)) state.item = shown.length ? shown[0].item : null;
    counted.textContent = `${rows.length} of ${head.items}` + (rows.length > MOST ? `, the first ${MOST} listed` : "");
    const top = list.scrollTop;
    list.replaceChildren(...shown.map(line));
    list.scrollTop = top;
    if (!shown.length) list.append(make("li", "dim", state.show === "split" ? "The strategies agree on every item so far." : "No item so far."));
    choose(state.item, false);
  }
  function line(row) {
    const made = make("li", "row");
    made.id = `onb-item-${serial}-${row.item}`;
    made.dataset.item = row.item;
    made.setAttribute("role", "option");
    const models = wires.get("rows").models || [], model = models[row.models[state.left]];
    const told = state.show === "split" ? names.map((_, at) => at).slice(0, head.users) : [state.left, state.right];
    const scores = make("span", "scores", told.map(at => sign(row.scores[at])).join(" "));
    scores.title = told.map(at => `${names[at]}: ${sign(row.scores[at])}`).join(", ");
    made.append(make("span", "number", String(row.item)), scores);
    if (state.show.startsWith("of") && model) made.append(make("span", "dim model", model));
    made.append(make("span", "title", row.title));
    const marked = markOf(row.item);
    if (marked) made.append(make("span", "chip ok", marked));
    made.addEventListener("click", () => { list.focus(); choose(row.item, true); });
    return made;
  }
  function choose(item, open) {
    state.item = item;
    for (const made of list.children) made.setAttribute("aria-selected", String(Number(made.dataset.item) === item && item !== null));
    if (item === null) { list.removeAttribute("aria-activedescendant"); detail.replaceChildren(); return; }
    const chosen = list.querySelector(`[data-item="${item}"]`);
    if (chosen) {
      list.setAttribute("aria-activedescendant", chosen.id);
      if (open) chosen.scrollIntoView({ block: "nearest" });
    }
    const there = wires.detail(item);
    if (there) fill(there); else { detail.replaceChildren(make("div", "dim", "…")); wires.open(item); }
  }
  function block(label, text, name) {
    const made = make("div", "block " + (name || ""));
    made.append(make("div", "label", label), make("div", "text", text === "" ? "(empty)" : text));
    return made;
  }
  function card(at, there) {
    const made = make("section", "card"), answer = there.answers[at];
    made.setAttribute("aria-label", names[at]);
    made.append(make("div", "name", names[at]));
    if (!answer) { made.append(make("div", "dim", "no answer yet")); return made; }
    const score = make("div", "score", `score ${answer.score} · ${answer.model} · ${answer.cost} · ${answer.latency}`);
    made.append(score, block("reply", answer.reply, "reply"));
    if (answer.error) made.append(block("error", answer.error, "line"));
    if (answer.reason) made.append(block("why it decided so", answer.reason));
    if (answer.asked.length) made.append(block("models asked", answer.asked.join(" → ")));
    if (answer.comment) made.append(block("what the scorer said", answer.comment));
    if (answer.prompt !== null) made.append(block("prompt", answer.prompt));
    return made;
  }
  function fill(there) {
    if (there.item !== state.item) return;
    const pair = make("div", "pair"), others = make("details", "part"), columns = make("details", "part");
    pair.append(card(state.left, there));
    if (state.right !== state.left) pair.append(card(state.right, there));
    others.append(make("summary", "", "the other strategies"));
    const rest = make("div", "pair");
    names.forEach((_, at) => { if (at !== state.left && at !== state.right) rest.append(card(at, there)); });
    others.append(rest);
    columns.append(make("summary", "", "the item's columns"));
    for (const [name, text] of there.columns) columns.append(block(name, text));
    const parts = [make("div", "name", `Item ${there.item}`)];
    if (there.prompt !== null) parts.push(block("prompt", there.prompt, "prompt"));
    parts.push(pair);
    if (rest.children.length) parts.push(others);
    detail.replaceChildren(...parts, columns);
  }
  function put(mark) {
    if (!wires.mark || state.item === null || state.left === state.right) return;
    const [ours, theirs] = [names[state.left], names[state.right]];
    wires.mark({ item: state.item, left: state.left, right: state.right, mark });
    said.textContent = `Item ${state.item}: ` + (mark === "same" ? `${ours} and ${theirs} are the same` : mark === "better" ? `${ours} is better` : `${theirs} is better`) + ".";
    step(1);
  }
  function step(by) {
    const rows = listed().slice(0, MOST), at = rows.findIndex(row => row.item === state.item);
    const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
    if (next) choose(next.item, true);
  }
  const keys = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-MOST), End: () => step(MOST),
    1: () => put("better"), ArrowLeft: () => put("better"), 2: () => put("worse"), ArrowRight: () => put("worse"), 0: () => put("same"),
  };
  root.addEventListener("keydown", event => {
    const own = keys[event.key];
    if (!own || event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
    event.preventDefault();
    event.stopPropagation();
    own();
  });
  wires.on("rows", draw);
  wires.on("slice", draw);
  wires.on("marks", draw);
  wires.on("detail", () => { const there = wires.detail(state.item); if (there) fill(there); });
  wires.on("focus", () => {
    const at = wires.get("focus").at;
    if (at === undefined || at === null) return;
    state.show = "of" + at;
    show.value = state.show;
    state.item = null;
    lookAt(at);
    draw();
  });
  draw();
}
