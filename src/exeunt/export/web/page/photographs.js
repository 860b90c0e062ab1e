// Photographs from files, folders and cameras, decoded by the browser: upright, without colour
// management, transparent pixels on white.

const photographs = (() => {
  const DECODED = { imageOrientation: "from-image", colorSpaceConversion: "none" };

  // A picture of the browser's as rows of bytes, a strip at a time; no canvas of its whole size.
  function unpack(picture, width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    const pen = () => canvas.getContext("2d", { willReadFrequently: true });
    return {
      width,
      height,
      rows(first, count) {
        if (canvas.height !== count) canvas.height = count;
        const context = pen();
        context.fillStyle = "white";
        context.fillRect(0, 0, width, count);
        context.drawImage(picture, 0, -first);
        return context.getImageData(0, 0, width, count).data;
      },
    };
  }

  // The pixels that the network takes, of a file or of what a video shows.
  async function pixelsOf(source, transform) {
    const bitmap = await createImageBitmap(source, source instanceof Blob ? DECODED : {});
    try {
      return resizing.prepare(unpack(bitmap, bitmap.width, bitmap.height), transform);
    } finally {
      bitmap.close();
    }
  }

  // All files below what was dropped, each with the name of the folder that it lies in.
  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return fromList(transfer.files);
    const found = [];
    for (const entry of entries) await walk(entry, "", found);
    return found;
  }

  async function walk(entry, folder, found) {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      if (worthTrying(file)) found.push({ file, folder });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const one of some.sort((a, b) => a.name.localeCompare(b.name)))
        await walk(one, entry.name, found);
    }
  }

  function fromList(files) {
    return [...files].filter(worthTrying).map((file) => ({
      file,
      folder: (file.webkitRelativePath || "").split("/").slice(-2, -1)[0] ?? "",
    }));
  }

  // What says that it is something else than an image is left out without a word.
  const worthTrying = (file) => !file.name.startsWith(".") && (!file.type || file.type.startsWith("image/"));

  return { pixelsOf, dropped, fromList };
})();
