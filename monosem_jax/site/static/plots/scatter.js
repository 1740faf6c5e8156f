'use strict';

// A scatter plot to pan and zoom, whose points can be pointed at and opened, by
// pointer or keyboard. pixels.js draws the points when something has changed;
// axes and marks lie on a canvas above.
monosem.scatter = (() => {
  const { element } = monosem.dom;
  const { bounds, grid, paint, project } = monosem.pixels;
  const KEYS =
    'Arrows move, + and − zoom, 0 shows all, Enter opens the point nearest' +
    ' to the middle.';
  const REACH = 10; // CSS pixels from the pointer to a point
  const CLOSEST = 400; // the largest zoom, relative to the whole
  const FAINT = 56; // alpha, of 255
  const CROWD = 2_000; // more highlighted points than this have no rim
  const made = new WeakMap();

  // Options:
  //   position     x, y of one point after the other
  //   colour       a pixel for each point, see palette.pixel
  //   label        what the plot shows, for screen readers
  //   describe(i)  makes the node shown beside the point that is pointed at
  //   onPick(i)    is called with the point that is pointed at, -1 for none
  //   onOpen(i)    is called with the point that is opened
  //   range        {left, right, low, high}, shown at first; by default all
  //   axes         the labels of x and y; by default there are no axes
  function make(place, options) {
    const { position, label, describe, range, axes } = options;
    const { onPick = () => {}, onOpen = () => {} } = options;
    const points = {
      position,
      colour: options.colour,
      shown: new Uint8Array(position.length / 2).fill(1),
    };
    const cells = grid(position);
    const whole = range ?? bounds(position);
    const base = element('canvas', '');
    const above = element('canvas', 'above');
    const tip = element('div', 'tip nosave');
    const node = element('div', 'scatter', [base, above, tip]);
    // The fewer points, the larger, in CSS pixels.
    const least = Math.max(1.5, 9 - 1.5 * Math.log10(position.length / 2));
    const view = { x: 0, y: 0, scale: 1 };
    const target = { width: 0, height: 0, pixels: null, image: null };
    let fit = 1;
    let density = 1;
    let chosen = null;
    let dim = false;
    let marked = -1;
    let picked = -1;
    let waiting = false;
    let stale = true;
    let [frameMilliseconds, wanted] = [0, null];

    above.tabIndex = 0;
    above.setAttribute('role', 'application');
    above.setAttribute('aria-roledescription', 'scatter plot');
    above.setAttribute('aria-label', `${label} ${KEYS}`);
    tip.setAttribute('role', 'status');
    tip.hidden = true;

    function draw() {
      waiting = false;
      if (!target.width) return;
      const start = performance.now();
      if (stale) drawPoints();
      stale = false;
      decorate();
      frameMilliseconds = performance.now() - start;
    }

    function drawPoints() {
      const close = Math.log2(Math.max(view.scale / fit, 1));
      const size = Math.round(Math.min(least + close, 9) * density);
      target.pixels.fill(0);
      paint(target, points, view, { size, alpha: dim && chosen ? FAINT : 255 });
      if (chosen) {
        const [ink] = monosem.palette.inks(node);
        const only = chosen;
        const edge = Math.round((chosen.length > CROWD ? 0.5 : 2) * density);
        if (chosen.length <= CROWD) {
          const rim = size + 2 * edge;
          paint(target, points, view, { size: rim, only, flat: ink });
        }
        paint(target, points, view, { size: size + edge, only });
      }
      base.getContext('2d').putImageData(target.image, 0, 0);
    }

    // Draws marks anew, but not the points.
    function remark() {
      if (!waiting) requestAnimationFrame(draw);
      waiting = true;
    }

    function later() {
      stale = true;
      remark();
    }

    // Where a point is on the screen, in CSS pixels of the plot.
    function at(i) {
      const { left, top } = project(target, view);
      return [
        (left + position[2 * i] * view.scale) / density,
        (top - position[2 * i + 1] * view.scale) / density,
      ];
    }

    function decorate() {
      const context = above.getContext('2d');
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, target.width, target.height);
      const [, css] = monosem.palette.inks(node);
      context.strokeStyle = css;
      context.fillStyle = css;
      if (axes) monosem.axes(context, axes, target, view, density);
      const ring = (i, radius, width) => {
        if (i < 0 || !points.shown[i]) return;
        context.lineWidth = width;
        context.beginPath();
        context.arc(...at(i), radius, 0, 2 * Math.PI);
        context.stroke();
      };
      ring(marked, 9, 2.5);
      ring(picked, 6, 1.5);
      placeTip();
    }

    function placeTip() {
      tip.hidden = picked < 0 || tip.childNodes.length === 0;
      if (tip.hidden) return;
      const [x, y] = at(picked);
      const width = target.width / density;
      const height = target.height / density;
      // To the right and below, or where there is room.
      const beside = (at, size, room) =>
        Math.max(0, at + 14 + size > room ? at - 14 - size : at + 14);
      tip.style.left = `${beside(x, tip.offsetWidth, width)}px`;
      tip.style.top = `${beside(y, tip.offsetHeight, height)}px`;
    }

    // `told` is whether to call onPick: not if the pick came from outside.
    function pick(i, told = true) {
      if (i === picked) return;
      picked = i;
      tip.replaceChildren(...(i >= 0 && told && describe ? [describe(i)] : []));
      if (told) onPick(i);
      remark();
    }

    function pickAt(x, y) {
      const { left, top } = project(target, view);
      const nearest = cells.near(
        (x * density - left) / view.scale,
        (top - y * density) / view.scale,
        (REACH * density) / view.scale,
        points.shown,
      );
      pick(nearest);
      return nearest;
    }

    // Zooms by a factor around x, y (CSS pixels).
    function zoom(factor, x, y) {
      const scale = Math.max(
        fit / 4,
        Math.min(view.scale * factor, fit * CLOSEST),
      );
      const right = x * density - target.width / 2;
      const up = target.height / 2 - y * density;
      view.x += right / view.scale - right / scale;
      view.y += up / view.scale - up / scale;
      view.scale = scale;
      later();
    }

    function pan(x, y) {
      view.x -= (x * density) / view.scale;
      view.y += (y * density) / view.scale;
      later();
    }

    // Shows a box with a margin, at a scale of `closest` at most.
    function show({ left, right, low, high }, closest) {
      const room = 24 * density;
      const wide = (target.width - 2 * room) / Math.max(right - left, 1e-9);
      const tall = (target.height - 2 * room) / Math.max(high - low, 1e-9);
      view.x = (left + right) / 2;
      view.y = (low + high) / 2;
      view.scale = Math.max(Math.min(wide, tall, closest), 1e-9);
      later();
    }

    function showAll() {
      show(whole, Infinity);
      fit = view.scale;
    }

    function resize() {
      const first = target.width === 0;
      const { clientWidth, clientHeight } = node;
      if (!clientWidth || !clientHeight) return;
      // A density above 2 would look no sharper.
      const next = Math.min(window.devicePixelRatio || 1, 2);
      view.scale *= next / density;
      fit *= next / density;
      density = next;
      for (const canvas of [base, above]) {
        canvas.width = Math.round(clientWidth * density);
        canvas.height = Math.round(clientHeight * density);
      }
      target.width = base.width;
      target.height = base.height;
      target.image = new ImageData(base.width, base.height);
      target.pixels = new Uint32Array(target.image.data.buffer);
      if (first) showAll();
      if (first && wanted) zoomTo(...wanted);
      // Setting its size empties a canvas: drawn later, it would flicker.
      stale = true;
      draw();
    }

    function zoomTo(which, closest = 24) {
      if (!target.width) {
        wanted = [which, closest];
        return;
      }
      const only = typeof which === 'number' ? [which] : which;
      if (only.length === 0) return;
      const near = typeof which === 'number' ? view.scale : 0;
      show(bounds(position, only), Math.max(near, fit * closest));
    }

    const middle = () => [node.clientWidth / 2, node.clientHeight / 2];
    const KEYED = {
      ArrowLeft: () => pan(60, 0),
      ArrowRight: () => pan(-60, 0),
      ArrowUp: () => pan(0, 60),
      ArrowDown: () => pan(0, -60),
      '+': () => zoom(1.5, ...middle()),
      '=': () => zoom(1.5, ...middle()),
      '-': () => zoom(1 / 1.5, ...middle()),
      0: showAll,
      Enter: () => {},
    };

    above.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'Escape') pick(-1);
      if (!Object.hasOwn(KEYED, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      KEYED[event.key]();
      const far = (target.width + target.height) / view.scale;
      pick(cells.near(view.x, view.y, far, points.shown));
      if (event.key === 'Enter' && picked >= 0) onOpen(picked);
    });

    monosem.gestures(above, {
      // A plot with axes is part of a page that the wheel scrolls.
      wheel: () => !axes || document.activeElement === above,
      hover: pickAt,
      leave: () => pick(-1),
      pan,
      zoom,
      click: (x, y) => {
        const found = pickAt(x, y);
        if (found >= 0) onOpen(found);
      },
    });

    const button = (text, title, act) => {
      const one = monosem.dom.button(text, act, title);
      one.setAttribute('aria-label', title);
      return one;
    };
    node.append(
      element('div', 'zoom nosave', [
        button('+', 'Zoom in', KEYED['+']),
        button('−', 'Zoom out', KEYED['-']),
        button('⤢', 'Show all', showAll),
      ]),
    );
    place.append(node);
    const watcher = new ResizeObserver(resize);
    watcher.observe(node);
    const unwatch = monosem.palette.onChange(later);
    resize();

    const plot = {
      node,
      get frameMilliseconds() {
        return frameMilliseconds;
      },
      // `shown` has 0 or 1 for each point.
      setShown(shown) {
        points.shown = shown;
        later();
      },
      setColour(colour) {
        points.colour = colour;
        later();
      },
      // Draws some points larger, with a rim; null for none. If `faint`, all
      // other points are faint.
      highlight(only, faint = true) {
        chosen = only;
        dim = faint;
        later();
      },
      // Puts a ring around a point that stays marked, -1 for none; `point` does
      // it for a point that is pointed at outside of the plot.
      mark(i) {
        marked = i;
        remark();
      },
      point: (i) => pick(i, false),
      // Zooms to a point's number, or so that all of an array of them show.
      zoomTo,
      showAll,
      at,
      remove() {
        watcher.disconnect();
        unwatch();
        node.remove();
      },
    };
    made.set(node, plot);
    return plot;
  }

  // The plot of a .scatter element.
  return { make, of: (node) => made.get(node) };
})();
