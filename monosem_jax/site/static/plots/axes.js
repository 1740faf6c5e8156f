'use strict';

// Axes of a scatter plot, with ticks, and the diagonal.
monosem.axes = (() => {
  const { project } = monosem.pixels;

  // About `wanted` ticks, at multiples of 1, 2 or 5 times a power of 10.
  function ticks(low, high, wanted) {
    const raw = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((k) => k * power >= raw) * power;
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) {
      found.push(k * step);
    }
    return found;
  }

  // Draws in `context`, in CSS pixels of `density` pixels each. `names` label x
  // and y; for `target` and `view` see pixels.js.
  function draw(context, names, target, view, density) {
    const { left, top } = project(target, view);
    const width = target.width / density;
    const height = target.height / density;
    const x = (value) => (left + value * view.scale) / density;
    const y = (value) => (top - value * view.scale) / density;
    const value = (x) => (x * density - left) / view.scale;
    const high = (y) => (top - y * density) / view.scale;
    const said = (tick) => `${Number(tick.toPrecision(6))}`.replace('-', '−');
    context.lineWidth = 1;
    context.font = '12px system-ui, sans-serif';
    const line = (x0, y0, x1, y1, alpha) => {
      context.globalAlpha = alpha;
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
      context.globalAlpha = 1;
    };
    context.textAlign = 'center';
    for (const tick of ticks(value(0), value(width), width / 110)) {
      line(x(tick), 0, x(tick), height, tick ? 0.12 : 0.4);
      context.fillText(said(tick), x(tick), height - 20);
    }
    context.textAlign = 'left';
    for (const tick of ticks(high(height), high(0), height / 80)) {
      line(0, y(tick), width, y(tick), tick ? 0.12 : 0.4);
      context.fillText(said(tick), 4, y(tick) - 3);
    }
    // The diagonal.
    line(x(-9), y(-9), x(9), y(9), 0.25);
    context.font = '600 12px system-ui, sans-serif';
    context.textAlign = 'right';
    context.fillText(`${names[0]} →`, width - 6, height - 5);
    context.textAlign = 'left';
    context.fillText(`↑ ${names[1]}`, 40, 16);
  }

  return draw;
})();
