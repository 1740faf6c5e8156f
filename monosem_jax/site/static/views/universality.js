'use strict';

// Whether another model has the same features: all pairs, and one pair side by
// side. `#universality?with=attribution`, `#universality/A1/3`.
monosem.views.universality = (() => {
  const { data, card, panel } = monosem;
  const { element, field, link, select, table } = monosem.dom;
  const { count, fixed } = monosem.format;
  const { go, href, keep } = monosem.router;
  const ROW = 26;
  const OUTLIERS = 10;
  const KINDS = { logits: 'logit weights', attribution: 'attributions' };

  // Loads the pack. `gap` is the correlation of activations minus that of logit
  // weights.
  let known = null;
  async function read() {
    const pack = await data.load('universality');
    if (known?.pack === pack) return known;
    const keys = pack.meta.sets.map((n) => data.sets[n].key);
    await card.load(...keys);
    const [activation, logits, attribution] = [
      ...['activation', 'logits', 'attribution'],
    ].map((name) => pack[name]);
    const { feature, match, meta } = pack;
    const gap = activation.map((r, m) => r - logits[m]);
    const columns = { feature, match, activation, logits, attribution, gap };
    known = { pack, meta, keys, columns, count: feature.length };
    return known;
  }

  // Pairs by falling values of a column, unknown ones last.
  function falling(column) {
    const worth = (m) => (Number.isNaN(column[m]) ? -Infinity : column[m]);
    const order = Uint32Array.from(column, (_, m) => m);
    return order.sort((a, b) => worth(b) - worth(a) || a - b);
  }

  const outliers = ({ columns }) =>
    falling(columns.gap)
      .slice(0, OUTLIERS)
      .filter((m) => columns.gap[m] > 0);

  function medians({ meta }) {
    const rows = Object.entries(meta.medians).map(([name, x]) => [
      name,
      x.of,
      x.with,
      count(x.count),
      fixed(x.median),
      fixed(x.paper),
    ]);
    return panel(
      'Nearest features of the other model',
      'by Pearson’s r of activations. The nearest is found on one half of' +
        ` the documents; r is measured on ${count(meta.tokens)} tokens of the` +
        ' other half.',
      [table(['', 'of', 'among', 'features', 'median r', 'the paper'], rows)],
    );
  }

  function plot(found, by, place) {
    const { columns, keys } = found;
    const y = columns[by];
    const there = Array.from(columns.feature.keys()).filter(
      (m) => !Number.isNaN(columns.activation[m]) && !Number.isNaN(y[m]),
    );
    const position = new Float32Array(2 * there.length);
    there.forEach((m, k) => {
      position[2 * k] = columns.activation[m];
      position[2 * k + 1] = y[m];
    });
    const apart = outliers(found);
    const rimmed = there.flatMap((m, k) => (apart.includes(m) ? [k] : []));
    const colour = new Uint32Array(there.length).fill(
      monosem.palette.pixel(monosem.palette.ofClass(0)),
    );
    for (const k of rimmed) {
      colour[k] = monosem.palette.pixel(monosem.palette.ofClass(3));
    }
    const box = monosem.pixels.bounds(position);
    const low = Math.min(0, box.left, box.low);
    const made = monosem.scatter.make(place, {
      position,
      colour,
      label: `${count(there.length)} pairs of features.`,
      axes: ['r of activations', `r of ${KINDS[by]}`],
      range: { left: low, right: 1, low, high: 1 },
      describe: (k) => both(found, there[k]),
      onOpen: (k) => go('universality', keys[0], columns.feature[there[k]]),
    });
    made.highlight(rimmed, false);
    return made;
  }

  // Two cards and the pair's numbers.
  function both({ columns, keys }, m) {
    return element('div', 'pair', [
      card.make(keys[0], columns.feature[m]),
      card.make(keys[1], columns.match[m]),
      element(
        'span',
        'note',
        `r: activations ${fixed(columns.activation[m])}, logit weights ` +
          `${fixed(columns.logits[m])}, attributions ` +
          fixed(columns.attribution[m]),
      ),
    ]);
  }

  const HEADS = [
    ['feature', 'feature'],
    ['match', 'nearest'],
    ['activation', 'activations'],
    ['logits', 'logits'],
    ['attribution', 'attributions'],
    ['gap', 'gap'],
  ];

  function pairs(found) {
    const { columns, keys } = found;
    let by = 'activation';
    let up = false;
    let order = falling(columns[by]);
    const apart = new Set(outliers(found));
    const heads = HEADS.map(([name, title]) => {
      const head = monosem.dom.button(title, () => {
        up = name === by ? !up : name === 'feature' || name === 'match';
        by = name;
        arrange();
      });
      head.dataset.name = name;
      return head;
    });
    heads[5].title = 'r of activations minus r of logit weights';
    const number = (name, m) =>
      element('span', 'number', fixed(columns[name][m]));
    const named = (key, i) => {
      const to = href('universality', key, i);
      const node = link(to, card.name(key, i), 'name');
      node.tabIndex = -1;
      return node;
    };
    const rows = monosem.rows.make({
      label: 'Pairs of features',
      height: ROW,
      draw: (place) => {
        const m = order[place];
        const [i, j] = [columns.feature[m], columns.match[m]];
        const said = [card.said(keys[0], i), card.chips(keys[0], i, 'fires')];
        return [
          named(keys[0], i),
          named(keys[1], j),
          ...HEADS.slice(2).map(([name]) => number(name, m)),
          said[0] ?? said[1],
          ...(apart.has(m) ? [element('span', 'apart', 'outlier')] : []),
        ];
      },
      onOpen: (place) =>
        go('universality', keys[0], columns.feature[order[place]]),
    });
    function arrange() {
      order = falling(columns[by]);
      if (up) order.reverse();
      for (const head of heads) {
        const on = head.dataset.name === by;
        head.setAttribute('aria-pressed', String(on));
        head.dataset.arrow = on ? (up ? '↑' : '↓') : '';
      }
      rows.set(order.length);
    }
    arrange();
    return panel(
      'Pairs',
      'Pearson’s r of each; gap: r of activations minus r of logit weights',
      [element('div', 'longhead', heads), rows.node],
      'pairs',
    );
  }

  function overview(found, query, place) {
    const { follow } = found.meta;
    let by = Object.hasOwn(KINDS, query.get('with'))
      ? query.get('with')
      : 'logits';
    const where = element('div', 'plotted');
    const note = element('span', 'note');
    let made = null;
    function draw() {
      made?.remove();
      made = plot(found, by, where);
      note.textContent =
        `r of the two over the pairs: ${fixed(follow[by])}; with a rim: the` +
        ' pairs with the largest gap between activations and logit weights';
    }
    const choose = select(Object.entries(KINDS), by, (next) => {
      by = next;
      keep({ with: by });
      draw();
    });
    place.append(
      element('h2', '', 'Universality'),
      medians(found),
      panel('Similarities', '', [
        element('div', 'strip', [field('activations against ', choose), note]),
        where,
      ]),
      pairs(found),
    );
    draw();
    return () => made.remove();
  }

  async function show([key, text], query, place) {
    const found = await read();
    if (key === undefined) return overview(found, query, place);
    const number = found.keys.includes(key) ? card.number(key, text) : null;
    if (number === null) {
      const runs = found.keys.map((k) => data.set(k).run).join(' and ');
      place.append(
        element(
          'p',
          'silent',
          `There is no such feature here: ${runs} are compared.`,
        ),
      );
      return undefined;
    }
    await monosem.twins(found, key, number, place);
    return undefined;
  }

  return {
    title: 'Universality',
    order: 50,
    there: () => data.run.views.includes('universality'),
    show,
  };
})();
