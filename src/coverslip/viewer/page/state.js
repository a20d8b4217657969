// What is looked at, and the link that says it.

export const DEFAULTS = {
  slide: "", run: "", x: null, y: null, z: null,
  heat: true, show: "attention", map: "", opacity: 0.5, low: 0,
  tissue: true, lesions: true, patch: null,
};

export const state = { ...DEFAULTS };

const ROUNDED = { x: 1, y: 1, z: 6, opacity: 2, low: 2 };

export function readLink(hash) {
  const told = new URLSearchParams(hash.replace(/^#/, ""));
  const read = { ...DEFAULTS };
  for (const [name, plain] of Object.entries(DEFAULTS)) {
    const text = told.get(name);
    if (text === null) continue;
    if (typeof plain === "boolean") read[name] = text === "1";
    else if (typeof plain === "string") read[name] = text;
    else if (text !== "" && Number.isFinite(Number(text))) read[name] = Number(text);
  }
  read.opacity = Math.min(1, Math.max(0, read.opacity));
  read.low = Math.min(1, Math.max(0, read.low));
  return read;
}

export function writeLink(said = state) {
  const told = new URLSearchParams();
  for (const [name, plain] of Object.entries(DEFAULTS)) {
    let value = said[name];
    if (value === plain || value === null || value === "") continue;
    if (typeof plain === "boolean") value = value ? "1" : "0";
    else if (name in ROUNDED) value = Number(value.toFixed(ROUNDED[name]));
    told.set(name, value);
  }
  return "#" + told.toString();
}
