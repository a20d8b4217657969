// What the keyboard does; "?" shows it.

const clamp = (value) => Math.min(1, Math.max(0, Number(value.toFixed(2))));

export function listenToKeys({ state, stage, list, panel, jump, copy, letGo }) {
  const next = (select) => {
    const { options, selectedIndex } = document.getElementById(select);
    return options[(selectedIndex + 1) % options.length].value;
  };
  const keys = {
    ArrowLeft: () => stage.pan(-1, 0),
    ArrowRight: () => stage.pan(1, 0),
    ArrowUp: () => stage.pan(0, -1),
    ArrowDown: () => stage.pan(0, 1),
    "+": () => stage.zoom(1.5),
    "=": () => stage.zoom(1.5),
    "-": () => stage.zoom(1 / 1.5),
    0: () => stage.whole(),
    1: () => { const { x, y } = stage.view(); stage.go(x, y, 1, false); },
    n: () => jump(1),
    p: () => jump(-1),
    j: () => list.step(1),
    k: () => list.step(-1),
    h: () => panel.set({ heat: !state.heat }),
    s: () => panel.set({ show: next("show") }),
    m: () => panel.set({ map: next("map") }),
    "[": () => panel.set({ opacity: clamp(state.opacity - 0.1) }),
    "]": () => panel.set({ opacity: clamp(state.opacity + 0.1) }),
    ",": () => panel.set({ low: clamp(state.low - 0.05) }),
    ".": () => panel.set({ low: clamp(state.low + 0.05) }),
    t: () => panel.set({ tissue: !state.tissue }),
    l: () => panel.set({ lesions: !state.lesions }),
    "/": () => document.getElementById("search").focus(),
    c: copy,
    Escape: letGo,
    "?": () => document.getElementById("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const field = event.target.closest?.("input, select, textarea");
    if (field) {
      if (event.key === "Escape") document.getElementById("stage").focus();
      return;
    }
    const act = keys[event.key];
    if (!act || (!stage.facts && !["j", "k", "/", "?"].includes(event.key))) return;
    event.preventDefault();
    act();
  });
}
