
// One card per upstream: how to reach it, and how it does.

// The span over which a rate is taken, in milliseconds.
const RATE_OVER = 10000;

class UpstreamCard {
  constructor(upstream) {
    const id = "upstream-" + encodeURIComponent(upstream.name);
    this.url = element("p", { class: "url" });
    this.ways = element("div", { class: "way" });
    this.numbers = element("dl", { class: "numbers" });
    this.rate = this.number("requests/s");
    this.requests = this.number("requests");
    this.errors = this.number("errors (5xx)");
    this.replays = this.number("replayed");
    this.picture = new Latency();
    this.history = [];
    this.node = element("li", { class: "card", "aria-labelledby": id },
      element("div", {}, element("h3", { id }, upstream.name), this.url),
      this.ways, this.numbers, this.picture.node);
  }

  number(name) {
    const value = element("dd", {}, "–");
    this.numbers.append(element("div", {}, element("dt", {}, name), value));
    return value;
  }

  update(upstream, bounds) {
    say(this.url, `to ${upstream.url}, ${upstream.token === null ? "without a token" : "with the token " + upstream.token}`);
    this.showWays(upstream);
    this.upstream = upstream;
    say(this.requests, upstream.requests.toLocaleString("en"));
    say(this.replays, upstream.replays.toLocaleString("en"));
    const share = upstream.requests ? upstream.errors / upstream.requests : 0;
    say(this.errors, share > 0 && share < 0.001 ? "< 0.1 %" : (share * 100).toFixed(1) + " %");
    mark(this.errors, "class", share >= 0.01 ? "over" : "");
    this.picture.show(upstream.durations, bounds);
  }

  tick() {
    const now = page.now();
    // A clock that was set back, or a counter that began anew, says nothing of a rate.
    const last = this.history.at(-1);
    if (last && (now < last.at || this.upstream.requests < last.requests)) this.history = [];
    this.history.push({ at: now, requests: this.upstream.requests });
    while (this.history.length > 2 && this.history[1].at <= now - RATE_OVER) this.history.shift();
    const first = this.history[0];
    const over = (now - first.at) / 1000;
    const rate = over > 0.9 ? (this.upstream.requests - first.requests) / over : null;
    say(this.rate, rate === null ? "–" : rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en"));
  }

  showWays(upstream) {
    const key = JSON.stringify(upstream.ways);
    if (this.key === key) return;
    this.key = key;
    const lines = upstream.ways.flatMap((way) => {
      const [address, curl] = [copyLine("address of " + upstream.name), copyLine("curl command for " + upstream.name)];
      address.code.textContent = way.address;
      curl.code.textContent = way.curl;
      const host = way.host === null ? null : element("p", { class: "url" }, "with Host: " + way.host);
      return [address.line, host, curl.line].filter((line) => line !== null);
    });
    this.ways.replaceChildren(...lines);
  }
}

// How long answers took, as a histogram; the words below say the same.
class Latency {
  constructor() {
    this.drawing = drawn("svg", { class: "latency", viewBox: "0 0 260 56", preserveAspectRatio: "none", role: "img" });
    this.axis = element("div", { class: "axis", "aria-hidden": "true" });
    this.words = element("figcaption");
    this.node = element("figure", {}, this.drawing, this.axis, this.words);
    this.bars = [];
  }

  show(counts, bounds) {
    if (this.bars.length !== counts.length) this.begin(counts.length, bounds);
    const [most, all] = [Math.max(1, ...counts), counts.reduce((sum, count) => sum + count, 0)];
    counts.forEach((count, at) => {
      const height = count === 0 ? 1 : Math.max(3, 54 * count / most);
      mark(this.bars[at].bar, "y", (56 - height).toFixed(1));
      mark(this.bars[at].bar, "height", height.toFixed(1));
      mark(this.bars[at].bar, "class", count === 0 ? "none" : "");
      const upto = at < bounds.length ? "up to " + bound(bounds[at]) : "longer";
      say(this.bars[at].title, `${upto}: ${count.toLocaleString("en")}`);
    });
    const within = (share) => {
      let sum = 0;
      const at = counts.findIndex((count) => (sum += count) >= share * all);
      return at < bounds.length ? "within " + bound(bounds[at]) : "longer than " + bound(bounds.at(-1));
    };
    const words = all === 0 ? "No answers yet." : `Half ${within(0.5)}, 95 of 100 ${within(0.95)}.`;
    say(this.words, words);
    mark(this.drawing, "aria-label", "How long answers took. " + words);
  }

  begin(count, bounds) {
    const width = 260 / count;
    this.bars = Array.from({ length: count }, (_, at) => {
      const title = drawn("title");
      return { title, bar: drawn("rect", { x: (at * width + 1).toFixed(1), width: (width - 2).toFixed(1), rx: 1 }, title) };
    });
    this.drawing.replaceChildren(...this.bars.map(({ bar }) => bar));
    const marks = [bounds[0], bounds[3], bounds[6], bounds[9]].filter((at) => at !== undefined);
    this.axis.replaceChildren(...marks.map((at) => element("span", {}, bound(at))), element("span", {}, "longer"));
  }
}

function bound(seconds) {
  return seconds < 1 ? `${Number((seconds * 1000).toFixed(1))} ms` : `${seconds} s`;
}
