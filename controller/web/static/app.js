// Everything works without this file. It listens for events, fetches the page's changing parts and swaps them in,
// and shows the values under the pointer on a chart, read from the chart's own table.
"use strict";

const live = document.getElementById("live");
const EVENTS = ["readings", "plan", "control", "alarms", "override", "devices"];
const PAUSE_MS = 1000; // between two fetches, however fast events come

let due = false;
let fetching = false;

function say(words) {
  if (live && live.textContent !== words) live.textContent = words;
}

// Somebody types here or reads off a chart: leave this part alone until they are done.
function busy(part) {
  const typing = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  return typing || part.querySelector(".cursor") !== null;
}

function swap(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const part = fresh.getElementById(old.id);
    if (!part || busy(old) || part.outerHTML === old.outerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const path = focused && (focused.id || focused.closest("details[id]")?.id);
    for (const kept of old.querySelectorAll("details[open][id]")) {
      const place = part.querySelector("#" + CSS.escape(kept.id));
      if (!place) continue;
      if (kept.matches(".command")) place.replaceWith(kept); // a half-filled form stays as it is
      else place.open = true;
    }
    old.replaceWith(part);
    if (focused) {
      const again = focused.isConnected ? focused : path && document.getElementById(path);
      const target = again && again.matches("details") ? again.querySelector("summary") : again;
      if (target) target.focus({ preventScroll: true });
    }
  }
}

async function refresh() {
  if (fetching || document.hidden) return;
  fetching = true;
  due = false;
  try {
    const address = new URL(location.href);
    address.searchParams.set("fragment", "1");
    address.searchParams.delete("said");
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (answer.ok) {
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say("Live.");
    }
  } catch {
    say("Connection lost; trying again. These figures are old.");
  }
  setTimeout(() => { fetching = false; if (due) refresh(); }, PAUSE_MS);
}

function ask() {
  due = true;
  refresh();
}

function listen() {
  const stream = new EventSource("/api/v1/events");
  stream.onopen = () => { say("Live."); ask(); };
  stream.onerror = () => {
    say("Connection lost; trying again. These figures are old.");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  for (const kind of EVENTS) stream.addEventListener(kind, ask);
  addEventListener("pagehide", () => stream.close(), { once: true });
}

function forget(plot) {
  plot.querySelectorAll(".cursor, .readout").forEach((mark) => mark.remove());
}

function point(event) {
  const plot = event.target.closest?.(".plot");
  if (!plot) return;
  const figure = plot.closest("figure");
  const chart = [...plot.querySelectorAll("svg")].find((one) => one.getBoundingClientRect().width > 0);
  const rows = figure.querySelectorAll("tr[data-t]");
  if (!chart || !rows.length) return;
  const box = chart.getBoundingClientRect();
  const left = box.left + box.width * Number(chart.dataset.left);
  const right = box.left + box.width * Number(chart.dataset.right);
  const share = Math.min(1, Math.max(0, (event.clientX - left) / (right - left)));
  const start = Number(figure.dataset.start);
  const time = start + share * (Number(figure.dataset.end) - start);
  let row = rows[0];
  for (const one of rows) if (Number(one.dataset.t) <= time) row = one;
  forget(plot);
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  const readout = document.createElement("div");
  readout.className = "readout";
  const names = [...figure.querySelectorAll("thead th")].slice(1);
  const title = document.createElement("b");
  title.textContent = row.querySelector("th").textContent;
  readout.append(title);
  row.querySelectorAll("td").forEach((cell, index) => {
    if (cell.textContent === "–") return;
    const line = document.createElement("span");
    line.textContent = `${names[index].textContent} ${cell.textContent}`;
    readout.append(line, document.createElement("br"));
  });
  plot.append(cursor, readout);
  const x = left + share * (right - left) - box.left;
  cursor.style.left = `${x}px`; // set through the object model, which the policy allows
  readout.style.left = `${x > box.width / 2 ? Math.max(0, x - readout.offsetWidth - 10) : x + 10}px`;
}

document.addEventListener("pointermove", point);
document.addEventListener("pointerdown", point);
document.addEventListener("pointerout", (event) => {
  const plot = event.target.closest?.(".plot");
  if (plot && !plot.contains(event.relatedTarget)) forget(plot);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
listen();
