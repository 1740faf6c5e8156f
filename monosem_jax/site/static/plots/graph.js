'use strict';

// Graphs of features: boxes joined by arrows, in columns or in a circle. Boxes
// are elements of the page. Arrows are drawn anew whenever the layout changes.
monosem.graph = (() => {
  const { element, svg } = monosem.dom;
  const HEAD = 9;
  const THINNEST = 1;
  const THICKEST = 7;

  // Makes an element a box, to which edges refer by its id.
  function box(id, node, className = '') {
    node.dataset.node = id;
    node.classList.add('node');
    if (className) node.classList.add(className);
    return node;
  }

  const place = (node, origin) => {
    const at = node.getBoundingClientRect();
    return {
      left: at.left - origin.left,
      right: at.right - origin.left,
      top: at.top - origin.top,
      bottom: at.bottom - origin.top,
      x: (at.left + at.right) / 2 - origin.left,
      y: (at.top + at.bottom) / 2 - origin.top,
    };
  };

  // A path is a cubic Bézier curve: four points.
  function across(a, b) {
    const bend = (b.left - a.right) / 2;
    return [
      [a.right, a.y],
      [a.right + bend, a.y],
      [b.left - bend, b.y],
      [b.left, b.y],
    ];
  }

  // From a box's upper side back into it.
  function loop(a) {
    return [
      [a.x + 24, a.top],
      [a.x + 60, a.top - 52],
      [a.x - 60, a.top - 52],
      [a.x - 24, a.top],
    ];
  }

  // Where the line from a box's middle to a point crosses its border.
  function border(a, [x, y]) {
    const dx = x - a.x;
    const dy = y - a.y;
    const wide = (a.right - a.left) / 2 / Math.max(Math.abs(dx), 1e-6);
    const tall = (a.bottom - a.top) / 2 / Math.max(Math.abs(dy), 1e-6);
    const share = Math.min(wide, tall, 1);
    return [a.x + dx * share, a.y + dy * share];
  }

  // Bent to one side, so that edges in opposite directions stay apart.
  function around(a, b) {
    const off = 0.22;
    const middle = [
      (a.x + b.x) / 2 + (b.y - a.y) * off,
      (a.y + b.y) / 2 - (b.x - a.x) * off,
    ];
    return [border(a, middle), middle, middle, border(b, middle)];
  }

  // The last points of the curve give the arrow its direction.
  function arrow(points, width) {
    const [, , [cx, cy], [x, y]] = points;
    const length = Math.hypot(x - cx, y - cy) || 1;
    const [ux, uy] = [(x - cx) / length, (y - cy) / length];
    const half = HEAD / 2 + width / 2;
    const [bx, by] = [x - ux * HEAD, y - uy * HEAD];
    const head = [
      [x, y],
      [bx - uy * half, by + ux * half],
      [bx + uy * half, by - ux * half],
    ];
    const curve = [points[0], points[1], points[2], [bx, by]];
    const text = (list) =>
      list.map((p) => p.map((v) => v.toFixed(1)).join(','));
    const [start, one, two, end] = text(curve);
    return {
      d: `M${start} C${one} ${two} ${end}`,
      head: text(head).join(' '),
      middle: [
        (points[0][0] + 3 * points[1][0] + 3 * points[2][0] + x) / 8,
        (points[0][1] + 3 * points[1][1] + 3 * points[2][1] + y) / 8,
      ],
    };
  }

  // Draws edges {from, to, weight, title, text?} between the boxes in `node`.
  // An edge's width shows its weight relative to `most`. Returns a function
  // that stops the redrawing.
  function connect(node, edges, { path, most, label }) {
    const layer = svg('svg', { class: 'edges', role: 'group' });
    layer.setAttribute('aria-label', label);
    node.prepend(layer);
    const boxes = new Map(
      Array.from(node.querySelectorAll('.node'), (n) => [n.dataset.node, n]),
    );
    const lit = new Set();

    function one({ from, to, weight, title, text }, origin) {
      const ends = [from, to].map((id) => place(boxes.get(id), origin));
      const points = from === to ? loop(ends[0]) : path(...ends);
      const share = Math.max(0, Math.min(weight / most, 1)) || 0;
      const width = THINNEST + (THICKEST - THINNEST) * share;
      const { d, head, middle } = arrow(points, width);
      const parts = [
        svg('title', {}, title),
        svg('path', { d, fill: 'none', 'stroke-width': width.toFixed(1) }),
        svg('polygon', { points: head }),
      ];
      if (text) {
        const [x, y] = middle;
        parts.push(svg('text', { x, y: y - 4, 'text-anchor': 'middle' }, text));
      }
      const on = lit.has(from) || lit.has(to) ? ' lit' : '';
      const group = { class: `edge${on}`, role: 'img', 'aria-label': title };
      return svg('g', group, parts);
    }

    function draw() {
      const origin = node.getBoundingClientRect();
      layer.replaceChildren(...edges.map((edge) => one(edge, origin)));
    }

    function light(event) {
      const own = event.target.closest?.('.node');
      lit.clear();
      if (own && event.type !== 'mouseleave') lit.add(own.dataset.node);
      draw();
    }
    for (const type of ['mouseover', 'mouseleave', 'focusin', 'focusout']) {
      node.addEventListener(type, light);
    }
    const watcher = new ResizeObserver(draw);
    watcher.observe(node);
    return () => watcher.disconnect();
  }

  // Columns of boxes: `columns` are {title, nodes}, from left to right.
  // Returns {node, end}.
  function layers(columns, edges, { label, most = 1 }) {
    const node = element(
      'div',
      'graph layers',
      columns.map(({ title, nodes }) =>
        element('div', 'layer', [
          element('h3', '', title),
          element('div', 'boxes', nodes),
        ]),
      ),
    );
    return { node, end: connect(node, edges, { path: across, most, label }) };
  }

  // Boxes in a circle, clockwise from the top.
  function circle(nodes, edges, { label, most = 1 }) {
    const node = element('div', 'graph circle', nodes);
    const n = nodes.length;
    node.classList.add(['', 'alone', 'two'][n] || 'many');
    nodes.forEach((one, i) => {
      const angle = (2 * Math.PI * i) / n - Math.PI / 2;
      // Two lie side by side, since the page is wider than high.
      const turn = n === 2 ? angle - Math.PI / 2 : angle;
      const far = n > 1 ? 1 : 0;
      one.style.left = `${50 + 36 * far * Math.cos(turn)}%`;
      one.style.top = `${50 + 36 * far * Math.sin(turn)}%`;
    });
    return { node, end: connect(node, edges, { path: around, most, label }) };
  }

  return { box, circle, layers };
})();
