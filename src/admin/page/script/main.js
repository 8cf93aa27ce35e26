
// The page itself: it listens to /events, and says so when nobody speaks any more.

// Without a word for this long, bearward is gone or stands still; in milliseconds.
const SILENCE = 4000;
const COME_BACK = 1500;

const page = {
  formToken: document.querySelector("meta[name=form-token]").content,
  process: document.querySelector("meta[name=process]").content,
  tokens: new Map(),
  upstreams: new Map(),
  snapshot: null,
  source: null,
  lives: false,
  // How far bearward's clock is ahead of the browser's, when it was last heard, and since when it is gone.
  ahead: 0,
  heard: 0,
  gone: null,
  // When this page last looked at its own clock.
  looked: 0,

  now() {
    return (this.gone ?? Date.now()) + this.ahead;
  },

  begin() {
    exchanges.begin();
    steps();
    this.listen();
    setInterval(() => this.everySecond(), 1000);
    document.addEventListener("visibilitychange", () => this.everySecond());
  },

  listen() {
    this.source?.close();
    this.heard = performance.now();
    const source = this.source = new EventSource("/events");
    const on = (name, act) => source.addEventListener(name, (event) => {
      this.heard = performance.now();
      act(JSON.parse(event.data));
    });
    on("beat", ({ now }) => this.beat(now));
    on("snapshot", (snapshot) => this.show(snapshot));
    on("exchanges", (lines) => exchanges.add(lines));
    source.addEventListener("error", () => {
      // A refusal ends it for good; an end of the connection does not.
      const refused = source.readyState === EventSource.CLOSED;
      this.goes(refused);
      if (refused) this.later();
    });
  },

  later() {
    clearTimeout(this.coming);
    this.coming = setTimeout(() => this.listen(), COME_BACK);
  },

  beat(now) {
    this.ahead = now - Date.now();
    if (this.lives) return;
    const back = this.gone !== null;
    this.lives = true;
    this.gone = null;
    document.body.classList.remove("gone");
    byId("gone").hidden = true;
    this.buttons();
    if (back) announce("bearward is back");
  },

  // `refused`: it answers, but will not tell this page more.
  goes(refused = false) {
    if (this.gone !== null && this.refused === refused) return;
    this.lives = false;
    this.gone ??= Date.now();
    this.refused = refused;
    document.body.classList.add("gone");
    const since = clockTime(this.now());
    const what = refused ? "bearward is watched by as many pages as it can serve; close one of them" : "bearward does not answer";
    const below = this.snapshot ? ` What is below is from ${since}, and the clocks stand still.` : "";
    say(byId("gone"), `${what}${below && !refused ? " since " + since : ""}.${below} Trying again…`);
    byId("gone").hidden = false;
    this.overall();
    this.buttons();
  },

  // Nothing can be pressed where nobody is.
  buttons() {
    for (const pressed of document.querySelectorAll("#tokens button")) pressed.disabled = !this.lives;
  },

  show(snapshot) {
    if (snapshot.process !== this.process) return this.anew();
    this.snapshot = snapshot;
    say(byId("version"), snapshot.version);
    const { tokens, upstreams } = snapshot;
    const empty = tokens.length === 0 && upstreams.length === 0;
    byId("begin").hidden = !empty;
    byId("tokens").hidden = tokens.length === 0;
    byId("upstreams").hidden = upstreams.length === 0;
    byId("exchanges").hidden = empty;
    byId("not-reloaded").hidden = snapshot.not_reloaded === null;
    say(byId("not-reloaded-why"), snapshot.not_reloaded ?? "");
    byId("no-actions").hidden = snapshot.no_actions === null;
    say(byId("no-actions"), snapshot.no_actions ?? "");
    keyed(byId("token-cards"), this.tokens, tokens, (token) => new TokenCard(token));
    keyed(byId("upstream-cards"), this.upstreams, upstreams, (upstream) => new UpstreamCard(upstream));
    for (const token of tokens) this.tokens.get(token.name).update(token, snapshot.no_actions === null);
    for (const upstream of upstreams) this.upstreams.get(upstream.name).update(upstream, snapshot.bounds);
    this.overall();
  },

  // Another run of bearward has another page: this one's buttons would be refused.
  async anew() {
    this.source.close();
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (answer.ok) return location.reload();
    } catch {
      // It is gone again.
    }
    this.goes();
    this.later();
  },

  overall() {
    const [kind, words] = this.summary();
    mark(byId("overall"), "data-kind", kind);
    say(byId("overall-words"), words);
    const title = kind === "good" ? "bearward" : `${words} – bearward`;
    if (document.title !== title) document.title = title;
    badge(kind);
  },

  summary() {
    if (this.gone !== null) return ["bad", this.refused ? "No place to watch" : "bearward is gone"];
    if (!this.snapshot) return ["quiet", "Connecting…"];
    const { tokens, upstreams, stopping } = this.snapshot;
    if (stopping) return ["warn", "bearward is stopping"];
    if (tokens.length + upstreams.length === 0) return ["quiet", "Nothing is configured"];
    for (const [state, kind, words] of [
      ["failed", "bad", "credentials refused"], ["login_required", "warn", "login required"], ["expired", "warn", "expired"],
    ]) {
      const names = tokens.filter((token) => token.state === state).map((token) => token.name);
      if (names.length) return [kind, `${few(names)}: ${words}`];
    }
    const troubled = tokens.filter((token) => token.last_error !== null).map((token) => token.name);
    if (troubled.length) return ["warn", `${few(troubled)}: no new token`];
    return ["good", "All is well"];
  },

  everySecond() {
    const now = performance.now();
    // It was this page that stood still (a frozen tab, a machine asleep): what came meanwhile is read after this.
    if (now - this.looked > SILENCE) this.heard = Math.max(this.heard, now - COME_BACK);
    this.looked = now;
    if (this.lives && performance.now() - this.heard > SILENCE) {
      this.goes();
      this.listen();
    } else if (this.gone !== null && this.source.readyState === EventSource.OPEN && performance.now() - this.heard > SILENCE) {
      this.listen();
    }
    if (!this.lives || !this.snapshot) return;
    for (const card of this.tokens.values()) card.tick();
    for (const card of this.upstreams.values()) card.tick();
  },
};

// An outage of one server may be every token's: the line at the top stays one.
function few(names) {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
}

// The tab says it too.
function badge(kind) {
  const dot = { good: "#2f9e5f", warn: "#d98a1f", bad: "#d33a2f", quiet: "#8a8478" }[kind];
  const picture = `<svg xmlns="${SVG}" viewBox="0 0 32 32"><g fill="#b9833a"><circle cx="8" cy="8" r="5"/><circle cx="24" cy="8" r="5"/><circle cx="16" cy="16.5" r="12"/></g><circle cx="25" cy="25" r="7" fill="${dot}"/></svg>`;
  const href = "data:image/svg+xml," + encodeURIComponent(picture);
  const icon = document.querySelector("link[rel=icon]");
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

function steps() {
  for (const [words, command] of [
    ["Choose an API, and write a configuration for it:", "bearward init"],
    ["See that it is right:", "bearward check"],
    ["Run it:", "bearward run"],
  ]) {
    const { line, code } = copyLine("the command " + command);
    code.textContent = command;
    byId("steps").append(element("li", {}, element("span", {}, words), line));
  }
}

page.begin();
