// The page: what comes over the stream goes into a buffer, and what is shown at a time follows from
// that buffer and the time alone. So freezing is to let the time stand still, and stepping back is
// another time.

import { Buffer, KEPT_S } from "./buffer.js";
import { Charts } from "./charts.js";
import { Clock } from "./clock.js";
import { Drawing, element } from "./draw.js";
import { Frames } from "./frames.js";
import { choices, Menu, order } from "./orders.js";
import { chartsAt, FAULT_WORDS, faultSpans, logAt, masterTimes, outageSpans, seconds, viewAt } from "./view.js";

const REFRESH_MS = 200; // of charts, log, counters and marks
const RETRY_MS = 1000;
const LONGEST_BUFFER_S = 1800; // of a page that stays frozen
const SPEEDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20];
const NOTICES = { progress: "STARTING", ended: "ENDED", trouble: "ENDED" };
const find = (id) => document.getElementById(id);

const buffer = new Buffer();
const clock = new Clock();
const menu = new Menu(find("menu"));
const charts = new Charts(find("ping"), find("iperf"));
let scene = null;
let notice = null; // why there is no network to show
let drawing = null;
let frames = null;
let frozenAt = null; // the time that is shown, or null while time goes on
let behind = 0; // how far that is behind the source's time
let shownT = Infinity; // what was shown last; the first view is no change
let refreshedMs = 0;
let lastLog = "";

const now = () => clock.now(performance.now());
const viewTime = () => frozenAt ?? now() - behind;
const isPast = () => frozenAt !== null || behind > 0.5;

// --- the stream -------------------------------------------------------------------------------

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/stream`);
  socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
  socket.addEventListener("close", () => setTimeout(connect, RETRY_MS));
}

function take(said) {
  if (said.notice) notify(said.notice);
  if (said.hello) begin(said.hello);
  if (!said.messages || notice) return; // without a network time stands still
  clock.sync(said.now_s, said.speed, performance.now());
  buffer.add(said.messages);
  const keptSince = Math.max(Math.min(now(), viewTime()) - KEPT_S, now() - LONGEST_BUFFER_S);
  buffer.forget(keptSince);
}

function begin(hello) {
  const isSame = scene && JSON.stringify(scene) === JSON.stringify(hello);
  buffer.clear();
  shownT = Infinity;
  scene = hello;
  find("notice").hidden = true;
  notice = null;
  if (!isSame) {
    goLive();
    find("toast").hidden = true;
    drawing = new Drawing(find("network"), hello.plan, openMenu);
    frames = new Frames(drawing);
    describe();
  }
  document.body.dataset.ready = hello.mode;
}

function describe() {
  const { settings, mode, title } = scene;
  const firewalls = `${scene.plan.routers.length} firewalls`;
  const run = mode === "replay" ? scene.folder.split("/").pop() : "";
  const words = [title, firewalls, settings.design, settings.dialect, run === title ? "" : run].filter(Boolean);
  find("title").textContent = words.join(" · ");
  find("title").title = scene.folder;
  find("replay").hidden = mode !== "replay";
  for (const id of ["start", "heal", "export"]) find(id).hidden = mode === "replay";
  find("start").hidden = !scene.may_change;
  for (const [id, names] of Object.entries(scene.choices)) {
    find(id).replaceChildren(...names.map((name) => new Option(name)));
  }
  find("design").value = settings.design ?? scene.choices.design[0];
  find("dialect").value = settings.dialect ?? scene.choices.dialect[0];
  find("switch").value = scene.plan.segments[0]?.type;
  find("firewalls").value = scene.plan.routers.length;
}

function notify(said) {
  notice = said;
  const { kind, text } = said;
  const place = find("notice");
  place.textContent = text;
  place.className = kind;
  place.hidden = false;
}

// --- what is shown ----------------------------------------------------------------------------

function draw(atMs) {
  requestAnimationFrame(draw);
  if (!drawing) return;
  const t = viewTime();
  drawing.show(viewAt(buffer, t), Math.abs(t - shownT) > 1);
  frames.show(buffer, t, clock.speed);
  if (atMs - refreshedMs >= REFRESH_MS) {
    refreshedMs = atMs;
    refresh(t);
  }
  shownT = t;
}

function refresh(t) {
  const view = viewAt(buffer, t);
  charts.show(chartsAt(buffer, t));
  showCounters(view.counters);
  showLog(t);
  showTime(t);
  showWhole(view.status);
}

function showWhole(status) {
  const place = find("whole");
  const words = !status ? "" : status.whole ? status.masters : `Split: ${status.masters}`;
  if (place.textContent !== words) place.textContent = words;
  place.className = !status ? "" : status.whole ? "whole" : "split";
  place.classList.toggle("long", words.length > 62);
}

function showCounters({ sent, lost, outageNow, lastOutage, rtt }) {
  const set = (id, head, body) => {
    find(id).querySelector("dt").textContent = head;
    find(id).querySelector("dd").textContent = body;
  };
  find("outage").classList.toggle("now", outageNow !== null);
  if (outageNow !== null) set("outage", "OUTAGE", `${outageNow.toFixed(1)} s`);
  else set("outage", "Last outage", lastOutage === null ? "none" : seconds(lastOutage));
  set("lost", "Probes lost", lost === null ? "–" : String(lost));
  if (sent !== null) {
    const of = document.createElement("small");
    of.textContent = ` of ${sent}`;
    find("lost").querySelector("dd").append(of);
  }
  set("trip", "Round trip", rtt === null ? "–" : `${rtt.toFixed(2)} ms`);
}

function showLog(t) {
  const lines = logAt(buffer, t);
  const key = JSON.stringify(lines);
  if (key === lastLog) return;
  lastLog = key;
  find("log").replaceChildren(
    ...lines.map((line) => {
      const row = document.createElement("li");
      row.className = line.sort;
      for (const [tag, name, words] of [["time", "", line.t.toFixed(3)], ["span", "who", line.who], ["span", "", line.text]]) {
        const cell = document.createElement(tag);
        cell.className = name;
        cell.textContent = words;
        row.append(cell);
      }
      return row;
    }),
  );
}

function showTime(t) {
  const ago = now() - t;
  const mode = find("mode");
  const isReplay = scene.mode === "replay";
  const isAway = clock.isSilent(performance.now());
  mode.className = `mode ${notice || isPast() ? "past" : isAway ? "away" : scene.mode}`;
  mode.textContent = notice ? NOTICES[notice.kind] : isAway ? "NO CONNECTION" : frozenAt !== null ? "FROZEN" : isPast() ? "BEHIND" : isReplay ? `REPLAY ${clock.speed ? `${clock.speed} ×` : ""}`.trim() : "LIVE";
  find("clock").textContent = `${t.toFixed(1)} s`;
  find("ago").textContent = ago < 0.5 ? "now" : `${ago.toFixed(1)} s before now`;
  find("freeze").setAttribute("aria-pressed", String(frozenAt !== null));
  find("freeze").textContent = frozenAt === null ? "Freeze" : "Go on";
  find("live").disabled = !isPast();
  find("play").textContent = clock.speed ? "Pause" : "Play";
  const slider = find("slider");
  if (document.activeElement !== slider || !slider.matches(":active")) slider.value = -ago;
  showMarks();
}

function showMarks() {
  const [to, from] = [now(), now() - KEPT_S];
  const marks = find("marks");
  marks.setAttribute("viewBox", `0 0 ${KEPT_S} 20`);
  const bar = (kind, start, end, y, height) =>
    element("rect", { class: kind, x: start - from, y, width: Math.max(0.4, end - start), height });
  marks.replaceChildren(
    ...faultSpans(buffer, from, to).map(([start, end]) => bar("fault", start, end, 2, 10)),
    ...outageSpans(buffer, from, to).map(([start, end]) => bar("outage", start, end, 12, 7)),
    ...masterTimes(buffer, from, to).map((at) => bar("master", at - 0.3, at + 0.3, 0, 20)),
  );
}

function toast(words, isTrouble = false) {
  const place = find("toast");
  place.textContent = words;
  place.className = isTrouble ? "trouble" : "";
  place.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (place.hidden = true), isTrouble ? 9000 : 6000);
}

// --- time -------------------------------------------------------------------------------------

function goLive() {
  [frozenAt, behind] = [null, 0];
}

function freeze() {
  if (frozenAt === null) frozenAt = viewTime();
  else [frozenAt, behind] = [null, Math.max(0, now() - frozenAt)];
}

function stepTo(t) {
  const first = Math.max(buffer.firstT, now() - KEPT_S);
  frozenAt = Math.min(Math.max(t, first), now());
}

// --- orders -----------------------------------------------------------------------------------

async function ask(name, fields, answer = () => "") {
  try {
    const words = answer(await order(name, fields));
    if (words) toast(words);
  } catch (error) {
    toast(error.message, true);
  }
}

function openMenu(target, opener) {
  const title = opener.getAttribute("aria-label");
  if (scene.mode === "replay") return menu.open(opener, title, [["Close", () => {}]], "A recorded run can be looked at, not changed.");
  if (isPast()) return menu.open(opener, title, [["Back to now", goLive]], "This is the past: go back to now to change something.");
  const faults = drawing.faultsOf(target).map((fault) => ({ ...fault, words: FAULT_WORDS[fault.kind] ?? fault.kind }));
  const items = choices(target, faults, drawing.plan.cables);
  return menu.open(opener, title, items.map(([words, name, fields]) => [words, () => ask(name, fields)]));
}

const healAll = () => ask("lift-all", {}, ({ lifted }) => (lifted.length ? "" : "Nothing is broken."));

function exportRun() {
  toast("Exporting what was recorded so far…");
  return ask("export", {}, ({ folder }) => `Exported as a run: ${folder}`);
}

function startNetwork() {
  if (!scene?.may_change) return;
  find("network-dialog").showModal();
}

find("network-dialog").addEventListener("close", (event) => {
  if (event.target.returnValue !== "start") return;
  event.target.returnValue = "";
  goLive();
  ask("start", {
    design: find("design").value,
    dialect: find("dialect").value,
    switch: find("switch").value,
    firewalls: Number(find("firewalls").value),
  });
});

const setReplay = (fields) => scene?.mode === "replay" && ask("replay", fields, ({ speed }) => (speed && (find("speed").value = speed), ""));
const play = () => setReplay(clock.speed || now() < scene.end_s - 0.05 ? { paused: clock.speed > 0 } : { at_s: -1e9, paused: false });
const again = () => (goLive(), setReplay({ at_s: -1e9, paused: false }));

function faster(step) {
  const place = SPEEDS.indexOf(Number(find("speed").value)) + step;
  if (SPEEDS[place]) (find("speed").value = SPEEDS[place]), setReplay({ speed: SPEEDS[place] });
}

// --- keys -------------------------------------------------------------------------------------

const KEYS = [
  ["Tab, Enter", "go to a cable, a machine or a button, and choose what to do with it", []],
  ["F, Space", "freeze, go on", ["f", " "], freeze],
  ["← →", "a second back, forward (with Shift: ten)", []],
  ["L", "live: back to now", ["l"], goLive],
  ["H", "heal everything", ["h"], healAll],
  ["E", "export what was recorded as a run", ["e"], exportRun],
  ["N", "start another network", ["n"], startNetwork],
  ["P", "a recorded run: pause, play", ["p"], () => play()],
  ["R", "a recorded run: from the start", ["r"], () => again()],
  ["+ −", "a recorded run: faster, slower", []],
  ["Esc", "close a menu", []],
  ["?", "these keys", ["?"], () => find("keys-dialog").showModal()],
];

document.addEventListener("keydown", (event) => {
  const isTaken = event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]");
  const field = event.target.closest?.("input, select, [role=menu]");
  if (isTaken || (field && field !== find("slider"))) return;
  if (event.key === " " && event.target.closest?.("button")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const known = KEYS.find(([, , keys]) => keys.includes(event.key.toLowerCase()));
  if (step) stepTo(viewTime() + step * (event.shiftKey ? 10 : 1));
  else if (event.key === "+" || event.key === "-") faster(event.key === "+" ? 1 : -1);
  else if (known) known[3]();
  else return;
  event.preventDefault();
});

find("keys").append(
  ...KEYS.map(([keys, words]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    for (const key of keys.split(/, | /)) {
      const cap = document.createElement("kbd");
      cap.textContent = key;
      head.append(cap, " ");
    }
    const cell = document.createElement("td");
    cell.textContent = words;
    row.append(head, cell);
    return row;
  }),
);

for (const [id, act] of Object.entries({ freeze, live: goLive, heal: healAll, export: exportRun, start: startNetwork, play: () => play(), again: () => again(), help: () => find("keys-dialog").showModal() })) {
  find(id).addEventListener("click", act);
  if (find(id).dataset.key) find(id).title = `key: ${find(id).dataset.key}`;
}
find("slider").addEventListener("input", (event) => stepTo(now() + Number(event.target.value)));
find("speed").append(...SPEEDS.map((speed) => new Option(`${speed} ×`, speed, speed === 1, speed === 1)));
find("speed").addEventListener("change", (event) => setReplay({ speed: Number(event.target.value) }));

connect();
requestAnimationFrame(draw);
