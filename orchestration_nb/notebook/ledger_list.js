// A list of rows of which one can be opened: runs, or the requests of one. What a row says goes through textContent:
// nothing of it becomes an element. JupyterLab would take arrows and letters for its own commands; where the list
// lives, it takes none.
function render({ model, el }) {
  const make = (kind, name, text) => {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const root = make("div", "onb onb-rows tex2jax_ignore mathjax_ignore"), list = make("div", "list");
  const table = make("table", "t"), head = make("thead"), body = make("tbody");
  const serial = Math.random().toString(36).slice(2);
  let active = model.get("chosen");
  el.classList.add("onb-live");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", model.get("label"));
  for (const part of [table, head, body]) part.setAttribute("role", "presentation");
  table.append(head, body);
  list.append(table);
  root.append(make("div", "dim", model.get("label")), list);
  el.append(root);

  const cells = (kind, texts) => {
    const line = make("tr");
    texts.forEach((text, at) => {
      const made = make(kind, model.get("numbers").includes(model.get("header")[at]) ? "number" : "", text);
      made.title = text;
      line.append(made);
    });
    return line;
  };
  const ids = () => model.get("rows").map(row => row[0]);
  function draw() {
    const top = list.scrollTop;
    head.replaceChildren(cells("th", model.get("header")));
    body.replaceChildren(...model.get("rows").map(([id, texts]) => {
      const line = cells("td", texts);
      line.id = `onb-row-${serial}-${id}`;
      line.dataset.row = id;
      line.setAttribute("role", "option");
      line.addEventListener("click", () => { list.focus(); move(id); open(); });
      return line;
    }));
    if (!ids().includes(active)) active = "";
    mark();
    list.scrollTop = top;
  }
  function mark() {
    list.removeAttribute("aria-activedescendant");
    for (const line of body.children) {
      line.setAttribute("aria-selected", String(line.dataset.row === model.get("chosen")));
      line.classList.toggle("active", line.dataset.row === active);
      if (line.dataset.row === active) list.setAttribute("aria-activedescendant", line.id);
    }
  }
  function move(id) {
    active = id;
    mark();
    const line = body.querySelector("tr.active"), under = head.offsetHeight;
    if (!line) return;
    if (line.offsetTop - under < list.scrollTop) list.scrollTop = line.offsetTop - under;
    const below = line.offsetTop + line.offsetHeight - list.clientHeight;
    if (below > list.scrollTop) list.scrollTop = below;
  }
  function choose(id) {
    model.set("chosen", id);
    model.save_changes();
    mark();
  }
  const open = () => { if (active) choose(active); };
  const by = steps => {
    const all = ids(), at = all.indexOf(active);
    if (all.length) move(all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + steps))]);
  };
  const keys = {
    ArrowDown: () => by(1), ArrowUp: () => by(-1), PageDown: () => by(6), PageUp: () => by(-6),
    Home: () => by(-Infinity), End: () => by(ids().length), Enter: open, " ": open, Escape: () => choose(""),
  };
  list.addEventListener("focus", () => { if (!active) by(0); });
  list.addEventListener("keydown", event => {
    const own = keys[event.key];
    if (!own || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    own();
  });
  model.on("change:rows", draw);
  model.on("change:chosen", mark);
  // A figure widget takes its room when the window changes, and not when it is put in place or its place does.
  let due = 0, seen = "";
  const watch = new ResizeObserver(([one]) => {
    const size = `${one.contentRect.width} ${one.contentRect.height}`;
    if (due || size === seen) return;
    seen = size;
    due = requestAnimationFrame(() => { due = 0; window.dispatchEvent(new Event("resize")); });
  });
  requestAnimationFrame(() => {
    const board = el.closest(".onb-ledger") || el;
    board.setAttribute("data-lm-suppress-shortcuts", "true");
    board.addEventListener("keydown", event => event.stopPropagation()); // the notebook would go to another cell
    watch.observe(board);
  });
  draw();
  return () => watch.disconnect();
}
export default { render };
