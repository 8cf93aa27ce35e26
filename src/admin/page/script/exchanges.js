
// The last exchanges, newest first. Pausing keeps them still for reading; what came meanwhile is shown afterwards.

const MOST_EXCHANGES = 50;

const exchanges = {
  waiting: [],
  paused: false,
  // How far each worker's numbers are known: whoever listens anew is told again what is still kept.
  seen: new Map(),

  begin() {
    byId("pause").addEventListener("click", () => this.pause(!this.paused));
  },

  add(lines) {
    for (const line of lines) {
      const [worker, number] = line.id.split("-").map(Number);
      if (number <= (this.seen.get(worker) ?? -1)) continue;
      this.seen.set(worker, number);
      this.waiting.push(line);
    }
    this.waiting.splice(0, Math.max(0, this.waiting.length - MOST_EXCHANGES));
    if (this.paused) this.label();
    else this.flush();
  },

  pause(paused) {
    this.paused = paused;
    mark(byId("pause"), "aria-pressed", paused);
    this.label();
    if (!paused) this.flush();
  },

  label() {
    const more = this.waiting.length;
    say(byId("pause"), !this.paused ? "Pause" : more ? `Go on (${more} new)` : "Go on");
  },

  flush() {
    const rows = byId("exchange-rows");
    const begun = rows.children.length > 0;
    for (const line of this.waiting) rows.prepend(this.row(line, begun));
    this.waiting = [];
    while (rows.children.length > MOST_EXCHANGES) rows.lastChild.remove();
    const any = rows.children.length > 0;
    byId("exchange-table").hidden = !any;
    byId("no-exchanges").hidden = any;
  },

  row(line, isNew) {
    const at = new Date(line.at);
    const time = element("time", { datetime: at.toISOString() }, clockTime(line.at) + "." + String(at.getMilliseconds()).padStart(3, "0"));
    const kind = line.status >= 500 ? "bad" : line.status >= 400 ? "warn" : "good";
    const cell = (attributes, ...children) => element("td", { role: "cell", ...attributes }, ...children);
    return element("tr", { role: "row", class: isNew ? "new" : null, "data-id": line.id },
      cell({ class: "when" }, time),
      cell({ class: "what" }, element("span", { class: "method" }, line.method), line.path),
      cell({}, line.upstream ?? "none"),
      cell({}, element("span", { class: "code", "data-kind": kind }, String(line.status)),
        line.replayed ? element("span", { class: "badge", title: "The token was rejected; the request was sent once more with a new one" }, "replayed") : null),
      cell({ class: "number" }, short(line.took)));
  },
};
