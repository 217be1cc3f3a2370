// n and p go to the next and the previous section, wherever nothing is being typed; on paper everything is open.

const stops = [...document.querySelectorAll("main > section, main article")];
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const way = { n: 1, p: -1 }[event.key];
  if (!way || document.querySelector("dialog[open]")) return;
  // the one that is read: the last whose title has passed the upper third
  const focused = stops.findIndex((one) => one.contains(document.activeElement));
  const read = stops.findLastIndex((one) => one.getBoundingClientRect().top < innerHeight / 3);
  const stop = Math.max(0, Math.min(stops.length - 1, (focused >= 0 ? focused : read) + way));
  stops[stop].focus({ preventScroll: true });
  stops[stop].scrollIntoView({ block: "start" });
  event.preventDefault();
});

let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));
