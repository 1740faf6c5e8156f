'use strict';

// Gestures of fingers and mice on a plot: a drag pans, wheel and pinch zoom,
// moving hovers, and a click clicks. Handlers get CSS pixels relative to the
// node. The wheel zooms with Ctrl, and without if `wheel()` is true.
monosem.gestures = (node, { hover, leave, pan, zoom, click, wheel }) => {
  const STILL = 4; // pixels; a shorter drag is a click
  const down = new Map();
  let moved = 0;

  const place = (event) => {
    const box = node.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  // The midpoint of two fingers, and their distance.
  function pinch() {
    const [a, b] = [...down.values()];
    const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, apart];
  }

  node.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || down.size === 2) return;
    if (down.size === 0) moved = 0;
    down.set(event.pointerId, place(event));
    node.setPointerCapture(event.pointerId);
  });

  node.addEventListener('pointermove', (event) => {
    const now = place(event);
    if (!down.has(event.pointerId)) {
      hover(...now);
      return;
    }
    const before = down.get(event.pointerId);
    const from = down.size === 2 ? pinch() : before;
    down.set(event.pointerId, now);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (moved < STILL) return;
    const to = down.size === 2 ? pinch() : now;
    pan(to[0] - from[0], to[1] - from[1]);
    if (down.size === 2 && from[2] > 0) zoom(to[2] / from[2], to[0], to[1]);
  });

  node.addEventListener('pointerup', (event) => {
    if (!down.delete(event.pointerId)) return;
    if (moved < STILL && down.size === 0) click(...place(event));
  });
  node.addEventListener('pointercancel', (event) => {
    down.delete(event.pointerId);
  });
  node.addEventListener('pointerleave', (event) => {
    if (!down.has(event.pointerId)) leave();
  });
  node.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !wheel()) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 24 : 1;
      const turn = Math.max(-200, Math.min(200, event.deltaY * lines));
      zoom(Math.exp(-turn * 0.003), ...place(event));
    },
    { passive: false },
  );
};
