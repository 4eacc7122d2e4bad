// Orders to the server, and the menu of what can be ordered of a cable or a machine.

export async function order(name, fields = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(fields),
    });
  } catch {
    throw new Error("the live view does not answer: it has ended, or the network to it is broken");
  }
  const said = await answer.json().catch(() => ({ error: `the live view answers with ${answer.status}` }));
  if (!answer.ok) throw new Error(said.error);
  return said;
}

const CABLE = [
  ["Pull the cable", "link_down", {}],
  ["Black hole, both ways", "blackhole", { direction: "both" }],
  ["Black hole from the machine", "blackhole", { direction: "from_host" }],
  ["Black hole to the machine", "blackhole", { direction: "to_host" }],
  ["Lose 30 % to the machine", "loss", { percent: 30 }],
];
const MACHINE = [
  ["Crash", "crash", {}],
  ["Hang", "hang", {}],
  ["Reboot (back after 8 s)", "reboot", {}],
  ["Kill its carpd only", "daemon_kill", {}],
];

// What can be done with a target that has these faults: [words, order, fields].
export function choices(target, faults, cables) {
  if (faults.length) return faults.map((fault) => [`Heal: ${fault.words}`, "lift", { id: fault.id }]);
  if (target.kind === "router") {
    return MACHINE.map(([words, kind, more]) => [words, "inject", { kind, host: target.machine, ...more }]);
  }
  const cable = target.kind === "cable" ? target : cables.find((each) => each.machine === target.machine);
  const place = { host: cable.machine, segment: cable.segment, cable: cable.cable };
  return CABLE.map(([words, kind, more]) => [words, "inject", { kind, ...place, ...more }]);
}

export class Menu {
  constructor(place) {
    this.place = place;
    this.opener = null;
    place.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!place.contains(event.target)) this.close(false);
    });
  }

  open(opener, title, items, remark = "") {
    this.close(false);
    this.opener = opener;
    opener.classList.add("open");
    const head = document.createElement("h3");
    head.textContent = title;
    const buttons = items.map(([words, act]) => {
      const button = document.createElement("button");
      button.setAttribute("role", "menuitem");
      button.textContent = words;
      button.addEventListener("click", () => {
        this.close();
        act();
      });
      return button;
    });
    const says = document.createElement("p");
    says.textContent = remark;
    this.place.replaceChildren(head, ...buttons, ...(remark ? [says] : []));
    this.place.hidden = false;
    const at = opener.getBoundingClientRect();
    const own = this.place.getBoundingClientRect();
    const left = Math.min(at.left + at.width / 2 - own.width / 2, innerWidth - own.width - 8);
    const below = at.top + at.height / 2 + 18;
    const top = below + own.height < innerHeight - 8 ? below : at.top + at.height / 2 - own.height - 18;
    this.place.style.left = `${Math.max(8, left)}px`;
    this.place.style.top = `${Math.max(8, top)}px`;
    buttons[0]?.focus();
  }

  close(givesBack = true) {
    if (this.place.hidden) return;
    this.place.hidden = true;
    this.opener?.classList.remove("open");
    if (givesBack) this.opener?.focus();
    this.opener = null;
  }

  key(event) {
    const buttons = [...this.place.querySelectorAll("button")];
    const index = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to !== undefined) buttons.at(to % buttons.length)?.focus();
    else if (event.key === "Escape") this.close();
    else if (event.key === "Tab") this.close(false);
    else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  }
}
