// The exported page: figure, slices and items, from the data that stands in it.
const read = name => JSON.parse(document.getElementById(name).textContent);
const figures = read("figures"), items = read("items"), plot = document.getElementById("plot");
const slices = document.getElementById("slices"), heard = {};
const shown = { heading: items.heading, rows: items.rows, marks: items.marks, slice: "", focus: {} };
const tell = (name, value) => { shown[name] = value; (heard[name] || []).forEach(then => then()); };
Plotly.newPlot(plot, figures[0].data, figures[0].layout, figures[0].config);
itemsBrowser(document.getElementById("browser"), {
  get: name => shown[name],
  on: (name, then) => (heard[name] = heard[name] || []).push(then),
  detail: item => items.details[item] || null,
  open: () => {},
  mark: null,
});
plot.on("plotly_click", clicked => {
  const at = items.heading.names.indexOf(clicked.points[0].customdata);
  if (at < 0) return;
  tell("focus", { at });
  document.getElementById("browser").scrollIntoView({ block: "nearest" });
});
if (slices) slices.addEventListener("change", () => {
  const at = Number(slices.value), figure = figures[at];
  Plotly.react(plot, figure.data, figure.layout, figure.config);
  document.querySelectorAll("[data-slice]").forEach(part => { part.hidden = part.dataset.slice !== String(at); });
  tell("slice", at ? slices.selectedOptions[0].textContent : "");
});
