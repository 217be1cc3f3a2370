// What was measured, as typed arrays, and which group is compared with the reference at the moment.

const CLASSES = data.classes.name;
const REFERENCE = data.groups[data.reference];
const OTHERS = data.groups.filter((one) => one !== REFERENCE);
const letterOf = (group) => {
  const place = group === REFERENCE ? 0 : 1 + OTHERS.indexOf(group);
  return place < 26 ? String.fromCharCode(65 + place) : `G${place}`;
};
const nameOf = (group) => `${letterOf(group)}: ${group.label || "no difference in settings"}`;
const hasIntervals = data.explained !== null;

let images, objects;

async function load() {
  const columns = async (group) => Object.fromEntries(await Promise.all(
    Object.entries(group).map(async ([name, one]) => [name, one?.zlib === undefined ? one : await unpack(one)]),
  ));
  [images, objects] = await Promise.all([data.images, data.objects].map(columns));
  images.count = images.id.length;
  for (const group of data.groups) {
    Object.assign(group, await columns({ cost: group.cost, found: group.found, missed: group.missed }));
    group.detections = await columns(group.detections);
  }
}

const state = { other: OTHERS[0] };
const drawings = []; // each is drawn anew when another group is compared
function compareWith(group) {
  if (group === REFERENCE || group === state.other) return;
  state.other = group;
  for (const draw of drawings) draw();
}
const drawnFor = (draw) => {
  drawings.push(draw);
  draw();
};

const pText = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
const betweenText = (bounds) => (bounds ? `${signed(bounds[0])} to ${signed(bounds[1])}` : "–");
const intervalOf = (one) => one.seeds ?? one.images;
const hasSeeds = data.groups.some((group) => group.differences.AP.seeds);
