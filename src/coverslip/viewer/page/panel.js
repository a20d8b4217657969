// The settings of overlays, and what is known of the chosen patch.

const $ = (id) => document.getElementById(id);
// Stains are pink and purple: what they would be taken for comes later in the choice.
const OWN = { attention: "viridis", score: "RdBu_r" };
const HINT = "Click a patch, or step through the top ones.";

export class Panel {
  constructor(state, { changed, jump }) {
    this.state = state;
    this.changed = changed;
    for (const id of ["heat", "tissue", "lesions"]) {
      $(id).addEventListener("change", () => this.set({ [id]: $(id).checked }));
    }
    for (const id of ["opacity", "low"]) {
      $(id).addEventListener("input", () => this.set({ [id]: Number($(id).value) }));
    }
    for (const id of ["show", "map"]) $(id).addEventListener("change", () => this.set({ [id]: $(id).value }));
    $("previous").addEventListener("click", () => jump(-1));
    $("next").addEventListener("click", () => jump(1));
  }

  set(changes) {
    Object.assign(this.state, changes);
    if ("show" in changes) this.state.map = OWN[changes.show.split(":")[0]];
    this.changed();
  }

  maps(colours) {
    this.colours = colours;
    $("map").replaceChildren(...Object.keys(colours).map((name) => new Option(name)));
  }

  // Attention, and the score of each class; of two classes only the last.
  measures(classes) {
    this.classes = classes;
    const scored = classes.length === 2 ? [1] : classes.map((_, i) => i);
    $("show").replaceChildren(
      new Option("attention (rank)", "attention"),
      ...scored.map((i) => new Option(`score: ${classes[i]}`, `score:${i}`)),
    );
    this.tell();
  }

  values(scores, show) {
    const [kind, number] = show.split(":");
    return kind === "score" ? scores.chances[Number(number)] : scores.rank;
  }

  // Bring the fields into line with the state.
  tell() {
    const { state } = this;
    if (![...$("show").options].some((option) => option.value === state.show)) state.show = "attention";
    if (!(state.map in (this.colours ?? {}))) state.map = OWN[state.show.split(":")[0]];
    for (const id of ["heat", "tissue", "lesions"]) $(id).checked = state[id];
    for (const id of ["opacity", "low", "show", "map"]) $(id).value = state[id];
    $("opacity-told").textContent = `${Math.round(state.opacity * 100)} %`;
    $("low-told").textContent = state.low.toFixed(2);
    $("legend-text").textContent = $("show").selectedOptions[0]?.textContent ?? "";
    this.legend();
  }

  legend() {
    const pen = $("legend").getContext("2d");
    pen.clearRect(0, 0, 256, 1);
    this.colours?.[this.state.map]?.forEach((colour, i) => {
      pen.fillStyle = colour;
      if (i / 255 >= this.state.low) pen.fillRect(i, 0, 1, 1);
    });
  }

  enable(on) {
    $("heat").closest("fieldset").disabled = !on;
    $("next").closest("fieldset").disabled = !on;
  }

  lesions(count) {
    $("lesions").disabled = !count;
    $("lesions-text").textContent = count ? `Annotated lesions (${count})` : "No annotated lesions";
  }

  fault(text) {
    $("fault").textContent = text && $("fault").textContent ? `${$("fault").textContent} ${text}` : text;
  }

  patch(scores, overlay) {
    const i = this.state.patch;
    if (!scores || i === null || scores.x[i] === undefined || !overlay.values) {
      const hint = document.createElement("dd");
      hint.className = "hint";
      hint.textContent = HINT;
      return $("patch").replaceChildren(hint);
    }
    const n = scores.x.length;
    const by = this.state.show.startsWith("score") ? "score" : "attention";
    const facts = [
      [`Rank by ${by}`, `${overlay.place[i] + 1} of ${n}`],
      ["Attention", atLeast(0.0001, scores.attention[i])],
      ["× mean attention", atLeast(0.01, scores.attention[i] * n)],
      ...scores.classes.map((name, c) => [`Score ${name}`, scores.chances[c][i].toFixed(3)]),
      ["Level-0 corner", `${scores.x[i]}, ${scores.y[i]}`],
    ];
    return $("patch").replaceChildren(...facts.flatMap(([name, value]) => [term("dt", name), term("dd", value)]));
  }
}

// Three digits; of what is smaller than `least`, only that it is.
const atLeast = (least, value) => (value < least ? `< ${least}` : value.toPrecision(3));

function term(kind, text) {
  const element = document.createElement(kind);
  element.textContent = text;
  return element;
}
