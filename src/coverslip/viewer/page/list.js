// The list of slides: search, order, choice.

const byId = (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true });
// What is not known comes last, whichever way the rest is ordered.
const by = (value) => (a, b) => {
  const [p, q] = [value(a), value(b)];
  if (p === null || q === null) return (p === null) - (q === null) || byId(a, b);
  return q - p || byId(a, b);
};
const ORDERS = {
  id: byId,
  high: by((row) => row.probability),
  low: by((row) => (row.probability === null ? null : -row.probability)),
  error: by((row) => row.error),
  label: (a, b) => a.label.localeCompare(b.label) || byId(a, b),
};

export const isWrong = (row) =>
  Boolean(row.label && row.predicted) && row.label.toLowerCase() !== row.predicted.toLowerCase();

export class List {
  constructor(element, count, choose) {
    this.element = element;
    this.count = count;
    this.choose = choose;
    this.rows = [];
    this.shown = [];
    this.chosen = "";
  }

  fill(rows, classes) {
    this.rows = rows;
    this.classes = classes;
  }

  draw(search, order) {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.rows.filter((row) => {
      const text = [row.id, row.label, row.predicted, row.split, row.case, row.status,
        row.fault, isWrong(row) ? "wrong" : ""].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    }).sort(ORDERS[order]);
    this.element.replaceChildren(...this.shown.map((row) => this.line(row)));
    const all = this.rows.length;
    this.count.textContent = this.shown.length === all
      ? `${all} slides` : `${this.shown.length} of ${all} slides`;
    this.element.scrollTop = 0;
    this.mark(this.chosen, false);
  }

  mark(id, bring = true) {
    this.chosen = id;
    for (const button of this.element.querySelectorAll("button")) {
      const on = button.dataset.id === id;
      button.setAttribute("aria-current", on);
      if (on && bring) button.scrollIntoView({ block: "nearest" });
    }
  }

  step(by) {
    const at = this.shown.findIndex((row) => row.id === this.chosen);
    const next = this.shown[at < 0 ? 0 : at + by];
    if (next) this.choose(next.id);
  }

  line(row) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.id = row.id;
    button.title = row.fault || row.id;
    button.append(part("id", row.id));
    if (row.probability !== null) {
      const chance = part("chance", row.probability.toFixed(3));
      chance.title = `probability of ${this.classes.at(-1)}`;
      button.append(chance);
    } else button.append(part("chance", ""));
    const said = part("said", "");
    const facts = [row.label && `label ${row.label}`, row.split].filter(Boolean);
    said.textContent = facts.join(", ") || row.status;
    if (row.predicted) {
      const verdict = part(isWrong(row) ? "wrong" : "", isWrong(row) ? `said ${row.predicted}` : row.label ? "" : row.predicted);
      said.prepend(verdict, verdict.textContent ? " · " : "");
    }
    if (row.fault) {
      said.classList.add("fault");
      said.replaceChildren(part("wrong", row.status || "failed"), `: ${row.fault}`);
    }
    button.append(said);
    if (row.probability !== null) {
      const meter = part("meter", "");
      const level = document.createElement("i");
      level.style.width = `${100 * row.probability}%`;
      meter.append(level);
      button.append(meter);
    }
    button.addEventListener("click", () => this.choose(row.id));
    const line = document.createElement("li");
    line.append(button);
    return line;
  }
}

function part(name, text) {
  const span = document.createElement("span");
  if (name) span.className = name;
  span.textContent = text;
  return span;
}
