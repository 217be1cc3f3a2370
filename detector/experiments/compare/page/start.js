// The data is unpacked first; then each part of the page is built.

async function start() {
  await load();
  for (const build of [buildDifferences, buildClasses, buildErrorKinds, buildImages, buildGroups]) build();
  for (const draw of filterDrawings) draw();
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  document.querySelector("header").append(element("p", `The page cannot be drawn (${error.message}). It needs a browser of 2023 or later.`, { className: "failed" }));
  throw error;
});
