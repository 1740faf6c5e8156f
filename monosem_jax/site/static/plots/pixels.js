'use strict';

// Draws points into a buffer of pixels. WebGL libraries need 'unsafe-eval', and
// plain code is fast enough for hundreds of thousands of points. `position` has
// x and y of one point after the other, in data coordinates, y upwards. A view
// is {x, y, scale}: the coordinates of the middle, and pixels per unit.
monosem.pixels = (() => {
  const POINTS_IN_CELL = 4;

  // The offsets of a disc's pixels from its middle, if rows have `width`
  // pixels.
  function disc(size, width) {
    const offsets = [];
    const middle = (size - 1) / 2;
    const reach = size < 4 ? 2 * size * size : (size * size) / 4;
    for (let j = 0; j < size; j++) {
      for (let i = 0; i < size; i++) {
        if ((i - middle) ** 2 + (j - middle) ** 2 > reach) continue;
        offsets.push((j - (size >> 1)) * width + i - (size >> 1));
      }
    }
    return Int32Array.from(offsets);
  }

  const project = (target, view) => ({
    left: target.width / 2 - view.x * view.scale,
    top: target.height / 2 + view.y * view.scale,
  });

  // Draws from the last point to the first, which lies on top. `target` is
  // {pixels, width, height}, `points` is {position, colour, shown}. `only` has
  // the numbers of the points to draw, null for all; `flat` is one colour for
  // all of them; `alpha` is 0 to 255.
  function paint(target, points, view, { size, only, flat, alpha = 255 }) {
    const { pixels, width, height } = target;
    const { position, colour, shown } = points;
    const { left, top } = project(target, view);
    const { scale } = view;
    const stamp = disc(size, width);
    const margin = (size >> 1) + 1;
    const right = width - margin;
    const bottom = height - margin;
    const bits = alpha << 24;
    for (let n = (only ?? shown).length - 1; n >= 0; n--) {
      const i = only ? only[n] : n;
      if (shown[i] === 0) continue;
      const x = left + position[2 * i] * scale;
      const y = top - position[2 * i + 1] * scale;
      if (!(x >= margin && x < right && y >= margin && y < bottom)) continue;
      const at = (y | 0) * width + (x | 0);
      const value = ((flat ?? colour[i]) & 0xffffff) | bits;
      for (let k = 0; k < stamp.length; k++) pixels[at + stamp[k]] = value;
    }
  }

  // The bounding box of the points `only`, null for all.
  function bounds(position, only = null) {
    const far = Infinity;
    const box = { left: far, right: -far, low: far, high: -far };
    const count = only ? only.length : position.length / 2;
    for (let n = 0; n < count; n++) {
      const i = only ? only[n] : n;
      const x = position[2 * i];
      const y = position[2 * i + 1];
      if (x < box.left) box.left = x;
      if (x > box.right) box.right = x;
      if (y < box.low) box.low = y;
      if (y > box.high) box.high = y;
    }
    return box;
  }

  // Finds the nearest point to a place: points by the cells of a uniform grid.
  function grid(position) {
    const n = position.length / 2;
    const side = Math.max(1, Math.ceil(Math.sqrt(n / POINTS_IN_CELL)));
    const { left, right, low, high } = bounds(position);
    const cell = Math.max(right - left, high - low, 1e-9) / side;
    const clip = (k) => Math.max(0, Math.min(side - 1, Math.floor(k)));
    const column = (x) => clip((x - left) / cell);
    const row = (y) => clip((y - low) / cell);
    const begin = new Uint32Array(side * side + 1);
    const own = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      own[i] = row(position[2 * i + 1]) * side + column(position[2 * i]);
      begin[own[i] + 1]++;
    }
    for (let k = 0; k < side * side; k++) begin[k + 1] += begin[k];
    const next = begin.slice();
    const items = new Uint32Array(n);
    for (let i = 0; i < n; i++) items[next[own[i]]++] = i;

    // The number of the nearest shown point within `radius`; -1 for none.
    function near(x, y, radius, shown) {
      let best = -1;
      let least = radius * radius;
      for (let r = row(y - radius); r <= row(y + radius); r++) {
        const first = r * side + column(x - radius);
        const last = r * side + column(x + radius);
        for (let k = begin[first]; k < begin[last + 1]; k++) {
          const i = items[k];
          const dx = position[2 * i] - x;
          const dy = position[2 * i + 1] - y;
          const d = dx * dx + dy * dy;
          // Of several points in one place this finds the first, which is drawn
          // on top: a cell has its points in order.
          if (shown[i] && d < least) {
            best = i;
            least = d;
          }
        }
      }
      return best;
    }

    return { near };
  }

  return { bounds, grid, paint, project };
})();
