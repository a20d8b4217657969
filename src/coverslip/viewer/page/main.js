// Puts the page together: what is chosen, what is loaded for it, what is drawn.

import { ask, ofSlide, withRun } from "/page/api.js";
import { copyText } from "/page/copy.js";
import { listenToKeys } from "/page/keys.js";
import { List, isWrong } from "/page/list.js";
import { Overlay } from "/page/overlay.js";
import { Panel } from "/page/panel.js";
import { Stage } from "/page/stage.js";
import { readLink, state, writeLink } from "/page/state.js";

const $ = (id) => document.getElementById(id);
const stage = new Stage($("stage"), {
  moved: (ended) => { draw(); if (ended) keepView(); },
  clicked: (point) => choosePatch(overlay.at(point)),
  failed: async (url) => {
    // the picture does not say why: its address does
    try { if (url) await ask(url); } catch (error) { notice(error.message); }
  },
});
const overlay = new Overlay(stage);
const list = new List($("list"), $("count"), (id) => { drawer(false); open(id); });
const panel = new Panel(state, { changed: () => { panel.tell(); revalue(); draw(); keep(); }, jump });
let colours = {};
const NO_RUN = "-";
const chosenRun = () => (state.run === NO_RUN ? "" : state.run);
let turns = 0;
let opening = false;

function draw() { overlay.draw(state, colours[state.map]); }

function keep() { history.replaceState(null, "", writeLink()); }

function keepView() {
  const view = stage.view();
  if (!view || opening) return;
  Object.assign(state, view);
  keep();
}

let hiding;
function notice(text, lasting = false) {
  clearTimeout(hiding);
  $("notice").textContent = text;
  $("notice").hidden = !text;
  $("notice").classList.toggle("lasting", lasting);
  if (text && !lasting) hiding = setTimeout(() => { $("notice").hidden = true; }, 5000);
}

function drawer(open = !$("side").classList.contains("open")) {
  $("side").classList.toggle("open", open);
  $("drawer").setAttribute("aria-expanded", open);
}

// The values that are shown; anew only when another measure is.
let shown = null;
function revalue() {
  const scores = overlay.scores;
  if (!scores || (shown === `${state.show} ${scores.key}`)) return;
  overlay.setValues(panel.values(scores, state.show));
  shown = `${state.show} ${scores.key}`;
  panel.patch(scores, overlay);
}

async function fillList() {
  const told = await ask(withRun("/api/slides", chosenRun()));
  list.fill(told.slides, told.classes);
  list.draw($("search").value, $("sort").value);
  panel.measures(told.classes);
}

const reasonOf = (row) => `${row.status || "failed"}: ${row.fault}`;

function tellSlide(row, facts) {
  $("name").textContent = row.id;
  document.title = `${row.id} · coverslip`;
  const parts = [];
  if (row.fault) parts.push(reasonOf(row));
  if (row.probability !== null) parts.push(`probability of ${list.classes.at(-1)} ${row.probability.toFixed(3)}`);
  if (row.predicted) parts.push(`predicted ${row.predicted}`);
  if (row.label) parts.push(`label ${row.label}`);
  if (row.split) parts.push(row.split);
  if (facts) parts.push(`${facts.width} × ${facts.height} px`, facts.mpp ? `${Number(facts.mpp.toPrecision(4))} µm/px` : "scale unknown");
  $("verdict").textContent = parts.join(" · ");
  $("verdict").classList.toggle("fault", Boolean(row.fault));
  if (isWrong(row)) {
    const mark = document.createElement("span");
    mark.className = "wrong";
    mark.textContent = "wrong · ";
    $("verdict").prepend(mark);
  }
}

// Open a slide; `from` is the view of a link, else the whole slide is shown.
async function open(id, from = null) {
  const turn = ++turns;
  const stale = () => turn !== turns;
  opening = true;
  const row = list.rows.find((one) => one.id === id);
  Object.assign(state, { slide: id, x: null, y: null, z: null, patch: null }, from ?? {});
  shown = null;
  overlay.setScores(null);
  overlay.setOutlines(null);
  panel.patch(null, overlay);
  panel.fault("");
  notice("");
  $("stage").dataset.ready = "";
  if (!row) {
    stage.close();
    notice(`${id}: no such slide in this study`, true);
    opening = false;
    return;
  }
  list.mark(id);
  tellSlide(row, null);
  try {
    const facts = await ask(ofSlide(id));
    if (stale()) return;
    await stage.open(facts);
    if (stale()) return;
    tellSlide(row, facts);
    if (state.x === null || state.y === null) stage.whole(true);
    else stage.go(state.x, state.y, state.z);
  } catch (error) {
    if (stale()) return;
    stage.close();
    notice(row.fault ? reasonOf(row) : error.message, true);
  }
  if (row.fault && stage.facts) notice(reasonOf(row));
  await Promise.all([loadOutlines(id, stale), loadScores(id, row, stale)]);
  if (stale()) return;
  opening = false;
  keepView();
  keep();
  $("stage").dataset.ready = id;
}

async function loadOutlines(id, stale) {
  try {
    const told = await ask(ofSlide(id, "/outlines"));
    if (stale()) return;
    overlay.setOutlines(told);
    panel.lesions(told.lesions.length);
    for (const fault of told.faults) panel.fault(fault);
  } catch (error) { if (!stale()) panel.fault(error.message); }
  draw();
}

async function loadScores(id, row, stale) {
  panel.enable(false);
  if (!chosenRun() || row.probability === null) return;
  try {
    const scores = await ask(withRun(ofSlide(id, "/scores"), chosenRun()));
    if (stale()) return;
    scores.key = `${state.run} ${id}`;
    overlay.setScores(scores);
    panel.enable(true);
    revalue();
    if (state.patch !== null) panel.patch(scores, overlay);
  } catch (error) { if (!stale()) panel.fault(error.message); }
  draw();
}

function choosePatch(i) {
  state.patch = i;
  panel.patch(overlay.scores, overlay);
  draw();
  keep();
}

// To the patch that follows in rank, or goes before; from none, to the first.
function jump(by) {
  if (!overlay.values || !overlay.order.length) return;
  const at = state.patch === null ? -1 : overlay.place[state.patch];
  const to = Math.min(overlay.order.length - 1, Math.max(0, at + by));
  const { x, y, side } = overlay.scores;
  choosePatch(overlay.order[to]);
  const box = stage.viewer.container;
  const fit = Math.min(box.clientWidth, box.clientHeight) / 3 / side;
  stage.go(x[state.patch] + side / 2, y[state.patch] + side / 2, Math.max(fit, stage.view().z), false);
}

async function copy() {
  keepView();
  if (await copyText(location.href)) return notice("link copied");
  $("link-text").value = location.href;
  $("link").showModal();
  return $("link-text").select();
}

async function follow(link) {
  const { run, slide, x, y, z, patch, ...settings } = link;
  Object.assign(state, settings);
  const known = [...$("run").options].map((option) => option.value);
  const unknown = run && !known.includes(run);
  if (run && !unknown && run !== state.run) {
    state.run = $("run").value = run;
    await fillList();
  }
  panel.tell();
  await open(slide || list.shown[0]?.id || "", { x, y, z, patch });
  if (unknown) notice(`${run}: no such run in this study`);
}

async function changeRun() {
  state.run = $("run").value;
  await fillList();
  const { x, y, z } = state;
  await open(state.slide, { x, y, z });
}

async function start() {
  $("drawer").addEventListener("click", () => drawer());
  $("settings").addEventListener("click", () => {
    const open = $("panel").classList.toggle("open");
    $("settings").setAttribute("aria-expanded", open);
  });
  $("help").addEventListener("click", () => $("keys").showModal());
  $("copy").addEventListener("click", copy);
  for (const id of ["search", "sort"]) {
    $(id).addEventListener("input", () => list.draw($("search").value, $("sort").value));
  }
  $("run").addEventListener("change", changeRun);
  // a view that still moves may have overwritten the address since: the event has the link
  window.addEventListener("hashchange", (event) => follow(readLink(new URL(event.newURL).hash)));
  listenToKeys({ state, stage, list, panel, jump, copy, letGo: () => choosePatch(null) });
  try {
    const [about, told] = await Promise.all([ask("/api/study"), ask("/api/colours")]);
    colours = told;
    panel.maps(colours);
    $("study").textContent = about.study;
    $("study").title = about.study;
    $("run").replaceChildren(...about.runs.map((name) => new Option(name)), new Option("none", NO_RUN));
    state.run = $("run").value = about.run ?? NO_RUN;
    const link = readLink(location.hash);
    await fillList();
    await follow(link);
  } catch (error) { notice(error.message, true); }
}

start();
