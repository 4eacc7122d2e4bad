// What is seen at a time: pure functions of the buffer and the time.

import { between, countUntil, lastUntil } from "./buffer.js";

export const CHART_S = 60;
const QUIET_S = 0.45; // without an answer for so long, an outage is said to be going on
const UNSAID = new Set(["sent", "heard", "arp", "neighbour", "phase"]);
const LOG_LINES = 40;

export function viewAt(buffer, t) {
  return {
    t,
    status: lastUntil(buffer.status, t) ?? null,
    path: lastUntil(buffer.path, t) ?? null,
    counters: countersAt(buffer, t),
  };
}

export function countersAt(buffer, t) {
  const probe = lastUntil(buffer.probe, t);
  const outage = lastUntil(buffer.outage, t);
  const ping = lastUntil(buffer.ping, t);
  const hasGone = probe && probe.last_s !== null && t - probe.last_s > QUIET_S;
  return {
    sent: probe?.sent ?? null,
    lost: probe?.lost ?? null,
    outageNow: hasGone ? t - probe.last_s : null,
    lastOutage: outage ? outage.t_s - outage.start_s : null,
    rtt: ping && t - ping.t_s < 3 ? ping.rtt_ms : null,
  };
}

// The events that are worth a line, and the ends of outages, the latest first.
export function logAt(buffer, t) {
  const lines = [];
  for (let i = countUntil(buffer.event, t) - 1; i >= 0 && lines.length < LOG_LINES; i -= 1) {
    const event = buffer.event[i];
    if (!UNSAID.has(event.event)) lines.push(lineOf(event));
  }
  for (let i = countUntil(buffer.outage, t) - 1; i >= 0 && i >= buffer.outage.length - 10; i -= 1) {
    const outage = buffer.outage[i];
    const text = `outage of ${seconds(outage.t_s - outage.start_s)} is over`;
    lines.push({ t: outage.t_s, who: "probe", text, sort: "outage" });
  }
  return lines.sort((a, b) => b.t - a.t).slice(0, LOG_LINES);
}

function lineOf(event) {
  const where = [event.segment, event.vhid === null || event.vhid === undefined ? "" : `vhid ${event.vhid}`]
    .filter(Boolean)
    .join(" ");
  const detail = event.detail.replaceAll("->", "→").replace("from_host", "of what it sends").replace("to_host", "of what it hears");
  const said = {
    carp: () => `${where}: ${detail}`,
    fault: () => [FAULT_WORDS[detail.split(" ")[0]] ?? detail, detail.split(" ").slice(1).join(" "), where].filter(Boolean).join(" "),
    repair: () => [`healed: ${FAULT_WORDS[detail.split(" ")[0]] ?? detail}`, where].filter(Boolean).join(" "),
    carrier: () => `${where}: carrier ${detail}`,
    demotion: () => `demotion ${detail}`,
    process: () => detail,
    port: () => `${detail} works through ${where}`,
  }[event.event] ?? (() => [event.event, where, detail].filter(Boolean).join(" "));
  const isMaster = event.event === "carp" && /-> MASTER/.test(event.detail);
  return { t: event.t_s, who: event.source, text: said(), sort: isMaster ? "master" : event.event };
}

export const FAULT_WORDS = {
  link_down: "cable pulled",
  blackhole: "black hole",
  loss: "loss",
  flap: "flapping",
  crash: "crash",
  hang: "hang",
  reboot: "reboot",
  daemon_kill: "carpd killed",
};

// The times with a fault, up to `t`: [from, to].
export function faultSpans(buffer, from, t) {
  const spans = [];
  const list = buffer.status;
  for (let i = Math.max(0, countUntil(list, from) - 1); i < countUntil(list, t); i += 1) {
    if (!list[i].faults.length) continue;
    const start = Math.max(from, list[i].t_s);
    const end = Math.min(t, list[i + 1]?.t_s ?? t);
    const last = spans[spans.length - 1];
    if (last && last[1] >= start) last[1] = end;
    else spans.push([start, end]);
  }
  return spans;
}

export function outageSpans(buffer, from, t) {
  const spans = between(buffer.outage, from, t).map((outage) => [Math.max(from, outage.start_s), outage.t_s]);
  const now = countersAt(buffer, t).outageNow;
  if (now !== null) spans.push([Math.max(from, t - now), t]);
  return spans;
}

export function masterTimes(buffer, from, t) {
  return between(buffer.event, from, t)
    .filter((event) => event.event === "carp" && /-> MASTER/.test(event.detail))
    .map((event) => event.t_s);
}

export function chartsAt(buffer, t) {
  const from = t - CHART_S;
  const pings = between(buffer.ping, from, t);
  const iperfs = between(buffer.iperf, from, t);
  return {
    from,
    t,
    ping: { x: pings.map((each) => each.t_s), y: pings.map((each) => each.rtt_ms ?? NaN) },
    outages: outageSpans(buffer, from, t),
    iperf: { x: iperfs.map((each) => each.t_s), y: iperfs.map((each) => each.mbps) },
    faults: faultSpans(buffer, from, t),
  };
}

// --- frames -----------------------------------------------------------------------------------

const SHOWN_AFTER_S = 0.25; // so that a frame is known before it is to be drawn
const TRIP_S = 0.8; // how long a probe's frame is seen on its way, there and back
const HOP_S = 0.35; // an advertisement's, from its sender to the switch, and on to who hears it
const BURST_S = 0.6; // a loss is seen for so long,
const LOST_AFTER_S = 1; // from when it is known
const STRUCK_S = 0.2; // a packet on its way when something breaks is lost to that

// The frames to draw: probes with their way and how far they are on it, 0 to 1; advertisements on a
// cable; losses at a place. `speed`: at more than 1 they stay as long on the page as they would.
export function framesAt(buffer, t, speed = 1) {
  const slow = Math.max(1, speed);
  const shown = t - SHOWN_AFTER_S;
  const frames = [];
  for (const packet of between(buffer.packet, shown - TRIP_S * slow, shown)) {
    if (packet.back_s === null) continue;
    const far = (shown - packet.t_s) / (TRIP_S * slow);
    const path = lastUntil(buffer.path, packet.t_s);
    if (!path || path.there.reason || path.back.reason) continue;
    const isBack = far >= 0.5;
    const cables = isBack ? path.back.cables : path.there.cables;
    frames.push({ kind: isBack ? "back" : "there", cables, far: (far * 2) % 1 });
  }
  const known = t - LOST_AFTER_S;
  for (const packet of between(buffer.packet, known - BURST_S * slow, known)) {
    if (packet.back_s !== null) continue;
    const path = lastUntil(buffer.path, packet.t_s);
    const way = packet.server_s === null ? path?.there : path?.back;
    if (!way) continue;
    const at = way.ends_at || faultOn(way.cables, lastUntil(buffer.status, packet.t_s + STRUCK_S));
    frames.push({ kind: "lost", at, cables: way.cables });
  }
  for (const event of between(buffer.event, shown - 2 * HOP_S * slow, shown)) {
    const far = (shown - event.t_s) / (HOP_S * slow);
    const { cable } = event;
    if (event.event === "sent" && far <= 1) frames.push({ kind: "advertisement", cable, out: far });
    if (event.event === "heard" && far > 1) frames.push({ kind: "advertisement", cable, out: 2 - far });
  }
  return frames;
}

// The first cable of a way that has a fault, "" for none.
function faultOn(cables, status) {
  const faulty = (status?.faults ?? []).map(({ host, segment, cable }) => `${host}/${segment}/${cable}`);
  return cables.find((id) => faulty.includes(id)) ?? "";
}

export function seconds(value) {
  if (value < 0.0995) return `${(value * 1000).toFixed(0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}
