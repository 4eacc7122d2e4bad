// The network's drawing: made once from the plan, then changed as the view changes.

import { FAULT_WORDS } from "./view.js";

const HIT = 13; // above and below a cable
const SVG = "http://www.w3.org/2000/svg";
const SIGN = { link_down: "pulled", flap: "flaps" };
const VERDICT = { crash: "CRASHED", hang: "HUNG", reboot: "REBOOTING", daemon_kill: "CARPD KILLED" };
const SWITCHES = {
  openflow: "OpenFlow switch",
  bridge: "Linux bridge",
  stp: "bridge, spanning tree",
  "stp-edge": "spanning tree, edge",
  "ryu-stp": "OpenFlow, Ryu's STP",
  snooping: "bridge, snooping",
  "snooping-strict": "bridge, strict snooping",
  loop: "two bridges, a loop",
};
const ARROWS = { from_host: "from the machine", to_host: "to the machine", both: "" };

export function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const text = (x, y, words, kind) => element("text", { x, y, class: kind }, words);

export class Drawing {
  // `choose(target, element)` is called when somebody wants something of a cable or a machine.
  constructor(svg, plan, choose) {
    this.svg = svg;
    this.plan = plan;
    this.choose = choose;
    this.status = undefined;
    this.path = undefined;
    this.badges = new Map();
    this.cables = new Map();
    this.routers = new Map();
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${plan.width} ${plan.height}`);
    svg.append(hatches());
    const layers = ["links", "cables", "segments", "moving", "machines", "signs", "losses"];
    const [links, cables, segments, moving, machines, signs, losses] = layers.map((name) => element("g", { class: name }));
    svg.append(links, cables, segments, moving, machines, signs, losses); // frames go through machines unseen
    Object.assign(this, { moving, signs, losses });
    for (const link of plan.links) links.append(drawLink(link));
    for (const segment of plan.segments) segments.append(drawSegment(segment));
    for (const machine of [...plan.hosts, ...plan.routers]) {
      for (const cable of plan.cables.filter((each) => each.machine === machine.name)) {
        cables.append(this.drawCable(cable));
      }
      machines.append(machine.badges ? this.drawRouter(machine) : this.drawHost(machine));
    }
  }

  drawCable(cable) {
    const { x1, y1, x2, y2 } = cable;
    const ends = { x1, y1, x2, y2 };
    const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const length = Math.hypot(x2 - x1, y2 - y1);
    const words = element("text", { x });
    const plate = element("rect", { rx: 4 });
    const group = element(
      "g",
      { class: "cable", style: `--cut: ${length * 0.3} ${length * 0.4} ${length * 0.3}` },
      element("line", { class: "ring", ...ends }),
      element("line", { class: "wire", ...ends }),
      element("polygon", { class: "hit", points: around(cable) }),
    );
    this.signs.append(element("g", { class: "sign" }, plate, words));
    this.cables.set(cable.id, { cable, group, words, plate, x, y });
    this.target(group, { kind: "cable", ...cable });
    return group;
  }

  drawHost(host) {
    const { x, y, width, height } = host;
    const group = element(
      "g",
      { class: "host" },
      element("rect", { class: "ring", x: x - 3, y: y - 3, width: width + 6, height: height + 6, rx: 9 }),
      element("rect", { class: "box", x, y, width, height, rx: 6 }),
      text(x + width / 2, y + height / 2 - 2, host.name, "name middle"),
      text(x + width / 2, y + height / 2 + 16, host.address, "small middle"),
    );
    this.target(group, { kind: "host", machine: host.name });
    return group;
  }

  drawRouter(router) {
    const { x, y, width, height } = router;
    const demoted = text(x + width - 10, y + 25, "", "demoted");
    const verdict = text(x + width - 10, y + 25, "", "verdict");
    const group = element(
      "g",
      { class: "router" },
      element("rect", { class: "ring", x: x - 3, y: y - 3, width: width + 6, height: height + 6, rx: 10 }),
      element("rect", { class: "box", x, y, width, height, rx: 7 }),
      text(x + 12, y + 26, router.name, "name"),
      demoted,
      verdict,
    );
    for (const badge of router.badges) group.append(this.drawBadge(router, badge));
    this.routers.set(router.name, { group, demoted, verdict });
    this.target(group, { kind: "router", machine: router.name });
    return group;
  }

  drawBadge(router, badge) {
    const { x, y, width, height } = badge;
    const room = Math.min(height - 42, 26); // more than the least height
    const middle = y + height / 2;
    const state = text(x + width / 2, middle - 1 + room * 0.08, "", "state middle");
    const what = text(x + width / 2, middle + 14 + room * 0.35, "", "what middle");
    const face = { x, y, width, height, rx: 5 };
    const plate = element("rect", { class: "plate", x: x + 10, y: y + 4, width: width - 20, height: height - 8, rx: 3 });
    const group = element("g", { class: "badge" }, element("rect", { class: "face", ...face }), plate, state, what);
    const size = 18 + room * 0.12;
    const key = [router.name, badge.segment, badge.cable, badge.vhid].join("/");
    this.badges.set(key, { group, state, what, size, vhid: badge.vhid, shown: null });
    return group;
  }

  target(group, target) {
    group.classList.add("target");
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-haspopup", "menu");
    group.setAttribute("aria-label", labelOf(target));
    group.addEventListener("click", () => this.choose(target, group));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      this.choose(target, group);
    });
  }

  // Show a view; `isJump`: not what has happened since, but another time.
  show(view, isJump) {
    if (view.status !== this.status) {
      this.status = view.status;
      this.showBadges(isJump);
      this.showFaults();
    }
    if (view.path !== this.path) {
      this.path = view.path;
      const used = new Set([...(view.path?.there.cables ?? []), ...(view.path?.back.cables ?? [])]);
      for (const [id, { group }] of this.cables) group.classList.toggle("used", used.has(id));
    }
  }

  showBadges(isJump) {
    const said = new Map();
    for (const each of this.status?.virtual_hosts ?? []) {
      said.set([each.router, each.segment, each.cable, each.vhid].join("/"), each);
    }
    for (const [key, badge] of this.badges) {
      const known = said.get(key);
      const state = known?.state ?? "unknown";
      const skew = known ? ` · skew ${known.advskew}` : "";
      badge.what.textContent = `vhid ${badge.vhid}${skew}`;
      if (state === badge.shown) continue;
      badge.state.setAttribute("font-size", badge.size * (state.length > 8 ? 0.8 : 1));
      badge.state.textContent = { MASTER: "★ MASTER" }[state] ?? state;
      badge.group.setAttribute("class", `badge ${state.toLowerCase().replaceAll(" ", "-")}`);
      badge.group.setAttribute("data-state", state);
      badge.group.setAttribute("data-key", key);
      if (badge.shown !== null && !isJump) flash(badge.group);
      badge.shown = state;
    }
  }

  showFaults() {
    const faults = this.status?.faults ?? [];
    for (const [id, { cable, group, words, plate, x, y }] of this.cables) {
      const fault = faults.find((each) => each.segment && `${each.host}/${each.segment}/${each.cable}` === id);
      const isUsed = group.classList.contains("used");
      group.setAttribute("class", ["cable target", fault ? `faulty ${fault.kind}` : "", isUsed ? "used" : ""].join(" "));
      group.setAttribute("aria-label", labelOf({ kind: "cable", ...cable }, fault));
      writeSign(words, plate, x, y, fault ? signOf(fault) : []);
    }
    for (const [name, { group, demoted, verdict }] of this.routers) {
      const fault = faults.find((each) => each.host === name && !each.segment);
      const carpd = this.status?.carpd?.[name] ?? "running";
      const groups = Object.entries(this.status?.demotions?.[name] ?? {}).filter(([, value]) => value);
      group.classList.toggle("struck", Boolean(fault) || carpd !== "running");
      verdict.textContent = fault ? VERDICT[fault.kind] ?? fault.kind : carpd === "running" ? "" : `carpd ${carpd}`.slice(0, 30);
      demoted.textContent = verdict.textContent ? "" : groups.map(([key, value]) => (key === "carp" ? `demoted ${value}` : `${key} demoted ${value}`)).join(", ");
      group.setAttribute("aria-label", labelOf({ kind: "router", machine: name }, fault));
    }
  }

  faultsOf(target) {
    return (this.status?.faults ?? []).filter(
      (each) =>
        each.host === target.machine &&
        (target.kind !== "cable" || (each.segment === target.segment && each.cable === target.cable)),
    );
  }
}

// The corners of what is clicked for a cable: a line alone would be hard to hit.
function around({ x1, y1, x2, y2 }) {
  return [[x1, y1 - HIT], [x2, y2 - HIT], [x2, y2 + HIT], [x1, y1 + HIT]].map((corner) => corner.join()).join(" ");
}

function flash(group) {
  group.classList.add("changed");
  setTimeout(() => group.classList.remove("changed"), 900);
}

// What a broken cable says, in short lines.
function signOf({ kind, detail }) {
  if (kind === "loss") return ["loss", detail];
  if (kind === "blackhole") return ["black", "hole", { from_host: "out", to_host: "in" }[detail]].filter(Boolean);
  return [SIGN[kind] ?? kind];
}

function writeSign(words, plate, x, y, lines) {
  const width = Math.max(0, ...lines.map((line) => line.length)) * 7.6 + 12;
  const height = lines.length * 15 + 5;
  for (const [key, value] of Object.entries({ x: x - width / 2, y: y - height / 2, width, height })) {
    plate.setAttribute(key, value);
  }
  plate.parentNode.setAttribute("visibility", lines.length ? "visible" : "hidden");
  words.replaceChildren(...lines.map((line, i) => element("tspan", { x, y: y - height / 2 + 14.5 + i * 15 }, line)));
}

function labelOf(target, fault) {
  const what = {
    cable: `Cable ${target.cable > 1 ? `${target.cable} ` : ""}of ${target.machine} to ${target.segment}`,
    host: `Host ${target.machine}`,
    router: `Firewall ${target.machine}`,
  }[target.kind];
  const detail = fault ? ARROWS[fault.detail] ?? fault.detail ?? "" : "";
  return fault ? `${what}: ${FAULT_WORDS[fault.kind] ?? fault.kind} ${detail}`.trim() : what;
}

function drawSegment(segment) {
  const { x, y, width, height } = segment;
  const middle = x + width / 2;
  return element(
    "g",
    { class: "segment" },
    element("rect", { class: "bar", x, y, width, height, rx: 4 }),
    text(middle, y - 22, segment.name, "name middle"),
    text(middle, y - 7, SWITCHES[segment.type] ?? segment.type, "small middle"),
    ...segment.virtual.slice(0, 1).map((address) => text(middle, y + height + 16, address, "small middle")),
    ...(segment.virtual.length ? [text(middle, y + height + 31, "the virtual address", "small middle")] : []),
  );
}

function drawLink(link) {
  const { x1, y1, x2, y2, name } = link;
  return element(
    "g",
    {},
    element("line", { class: "link", x1, y1, x2, y2 }),
    text((x1 + x2) / 2 + 8, (y1 + y2) / 2 + 4, name, "small"),
  );
}

// The figures' hatching (carplab.analysis.bands), so that states differ without their colours.
function hatches() {
  const pattern = (id, size, d, colour, ground) =>
    element(
      "pattern",
      { id, width: size, height: size, patternUnits: "userSpaceOnUse" },
      element("rect", { width: size, height: size, fill: ground }),
      element("path", { d, stroke: colour, "stroke-width": 1.4, fill: "none" }),
    );
  return element(
    "defs",
    {},
    pattern("hatch-init", 8, "M-2 2 2-2M0 8 8 0M6 10 10 6", "var(--init-edge)", "var(--init-face)"),
    pattern("hatch-not-running", 8, "M0 0 8 8M0 8 8 0", "var(--not-running-edge)", "var(--not-running-face)"),
    pattern("hatch-hung", 8, "M4 0V8M0 4H8", "var(--hung-edge)", "var(--hung-face)"),
  );
}
