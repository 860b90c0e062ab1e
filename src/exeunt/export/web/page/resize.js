// From the pixels of a photograph to those of the network: cut out, resized, with the arithmetic of
// Pillow, which Python prepares images with, so that the numbers are the same: weights in 22 bits
// below the point, each pass rounded to 8 bits, the corners of what is cut out in float32.

const resizing = (() => {
  const BITS = 22;
  const STRIP_PIXELS = 1 << 20; // of a photograph that are unpacked at once

  function triangle(x) {
    return Math.max(0, 1 - Math.abs(x));
  }

  function cubic(x) {
    const a = -0.5, far = Math.abs(x);
    if (far < 1) return ((a + 2) * far - (a + 3)) * far * far + 1;
    return far < 2 ? (((far - 5) * far + 8) * far - 4) * a : 0;
  }

  const FILTERS = { bilinear: [triangle, 1], bicubic: [cubic, 2] };

  // For each of `count` places between two ends: from which pixel on, and the weights.
  function weights(size, from, to, count, [filter, reach]) {
    const scale = Math.fround(to - from) / count;
    const stretch = Math.max(scale, 1);
    const support = reach * stretch;
    return Array.from({ length: count }, (_, place) => {
      const centre = from + (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + 0.5));
      const end = Math.min(size, Math.trunc(centre + support + 0.5));
      const exact = [];
      let total = 0;
      for (let pixel = first; pixel < end; pixel++) {
        const weight = filter((pixel - centre + 0.5) * (1 / stretch));
        exact.push(weight);
        total += weight;
      }
      const whole = exact.map((weight) => {
        const share = (total === 0 ? weight : weight / total) * 2 ** BITS;
        return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
      });
      return { first, values: Int32Array.from(whole) };
    });
  }

  const byte = (sum) => Math.min(255, Math.max(0, sum >> BITS));

  // The centred part, [left, top, right, bottom], that has the shape of the result.
  function centre(width, height, { image_size: [outHeight, outWidth], crop_fraction: share }) {
    const scale = share * Math.min(width / outWidth, height / outHeight);
    const w = Math.min(scale * outWidth, width), h = Math.min(scale * outHeight, height);
    const left = Math.trunc((width - w) / 2), top = Math.trunc((height - h) / 2);
    return [left, top, left + w, top + h];
  }

  // One row of four bytes a pixel, resized across: `channels` numbers for each place.
  function across(row, places, channels, result) {
    let at = 0;
    for (const { first, values } of places) {
      const half = 1 << (BITS - 1);
      let red = half, green = half, blue = half;
      for (let i = 0, p = 4 * first; i < values.length; i++, p += 4) {
        const weight = values[i];
        red = (red + Math.imul(weight, row[p])) | 0;
        if (channels === 1) continue;
        green = (green + Math.imul(weight, row[p + 1])) | 0;
        blue = (blue + Math.imul(weight, row[p + 2])) | 0;
      }
      result[at++] = byte(red);
      if (channels === 1) continue;
      result[at++] = byte(green);
      result[at++] = byte(blue);
    }
  }

  // Luma (ITU-R 601) in place of the first of four bytes.
  function grey(row) {
    for (let p = 0; p < row.length; p += 4)
      row[p] = (19595 * row[p] + 38470 * row[p + 1] + 7471 * row[p + 2] + 0x8000) >> 16;
  }

  // A photograph ({ width, height, rows(first, count) }: four bytes a pixel) as the network takes it:
  // height x width x channels bytes.
  function prepare(photograph, transform) {
    const [outHeight, outWidth] = transform.image_size;
    const channels = transform.mode === "L" ? 1 : 3;
    const filter = FILTERS[transform.interpolation];
    const { width, height } = photograph;
    const [left, top, right, bottom] = centre(width, height, transform).map(Math.fround);
    const columns = weights(width, left, right, outWidth, filter);
    const lines = weights(height, top, bottom, outHeight, filter);
    const start = lines[0].first;
    const end = Math.max(...lines.map(({ first, values }) => first + values.length));
    const size = outWidth * channels;
    const between = new Uint8Array((end - start) * size);
    const strip = Math.max(1, Math.floor(STRIP_PIXELS / width));
    for (let y = start; y < end; y += strip) {
      const count = Math.min(strip, end - y);
      const pixels = photograph.rows(y, count);
      for (let k = 0; k < count; k++) {
        const row = pixels.subarray(4 * width * k, 4 * width * (k + 1));
        if (channels === 1) grey(row);
        const at = (y + k - start) * size;
        across(row, columns, channels, between.subarray(at, at + size));
      }
    }
    const result = new Uint8Array(outHeight * size);
    lines.forEach(({ first, values }, line) => {
      for (let x = 0; x < size; x++) {
        let sum = 1 << (BITS - 1);
        for (let i = 0, p = (first - start) * size + x; i < values.length; i++, p += size)
          sum = (sum + Math.imul(values[i], between[p])) | 0;
        result[line * size + x] = byte(sum);
      }
    });
    return result;
  }

  return { prepare };
})();
