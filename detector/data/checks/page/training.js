// Training images as the model sees them, augmented.

function drawSamples() {
  const dialog = pictureDialog();
  const pictureAt = (n) => {
    const picture = data.pictures[data.samples[n]];
    return { ...picture, lines: [counted(picture.marks.length, "object")] };
  };
  const open = (n) => dialog.openAt(n, data.samples.length, pictureAt);
  const grid = imageGrid({ label: "training images", pictureAt, open, lines: 2, empty: "no training image can be read" });
  content("training").append(element("p", "Images of the first epoch, brought to the model's size and augmented as training does it. Boxes that do not fit what they are around are a mistake of the data or of the augmentation.", { className: "hint" }), grid);
  grid.show(data.samples.length);
}

if (byId("training")) drawSamples();
