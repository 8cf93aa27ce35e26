
// Times: bearward's clock counts, and stands still while it is gone.

function two(number) {
  return String(number).padStart(2, "0");
}

// "9:58", "1 h 05 m", "6 d 23 h"; of milliseconds.
function span(left) {
  const seconds = Math.max(0, Math.ceil(left / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${two(minutes)} m`;
  return `${minutes}:${two(seconds % 60)}`;
}

function clockTime(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

// With the day where it is not today.
function exactTime(at) {
  const when = new Date(at);
  if (when.toDateString() === new Date(page.now()).toDateString()) return clockTime(at);
  return when.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) + ", " + clockTime(at);
}

function timeOf(node, at) {
  mark(node, "datetime", new Date(at).toISOString());
  mark(node, "title", new Date(at).toISOString());
  say(node, exactTime(at));
}

// Of milliseconds: "0.8 ms", "12 ms", "1.20 s".
function short(took) {
  if (took < 0.05) return "< 0.1 ms";
  if (took < 9.95) return took.toFixed(1) + " ms";
  if (took < 999.5) return took.toFixed(0) + " ms";
  return (took / 1000).toFixed(2) + " s";
}
