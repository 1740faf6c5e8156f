'use strict';

// Whether another model has the same features: all pairs, and one of them side
// by side. `#universality?with=attribution`, `#universality/A1/3`.
monosem.views.universality = (() => {
  const { data, card } = monosem;
  const { element, field, link, panel, select, table } = monosem.dom;
  const { count, digits, fixed } = monosem.format;
  const { go, href, keep } = monosem.router;
  const ROW = 26;
  const OUTLIERS = 10;
  const EXAMPLES = 12;
  const KINDS = { logits: 'logit weights', attribution: 'attributions' };

  // The pack with its columns as numbers, and by how much activations are more
  // alike than logit weights.
  let known = null;
  async function read() {
    const pack = await data.load('universality');
    if (known?.pack === pack) return known;
    const keys = pack.meta.sets.map((n) => data.sets[n].key);
    await card.load(...keys);
    const [activation, logits, attribution] = [
      ...['activation', 'logits', 'attribution'],
    ].map((name) => data.halves(pack[name]));
    const { feature, match, meta } = pack;
    const gap = activation.map((r, m) => r - logits[m]);
    const columns = { feature, match, activation, logits, attribution, gap };
    known = { pack, meta, keys, columns, count: feature.length };
    return known;
  }

  // Pairs from the largest value of a column down, what is not known last.
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
      'The nearest of the other set',
      `by Pearson’s r of activations over ${count(meta.tokens)} tokens`,
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

  // Two cards and what the pair's numbers are.
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
    heads[5].title = 'r of activations less that of logit weights';
    const number = (name, m) =>
      element('span', 'number', fixed(columns[name][m]));
    const named = (key, i) => {
      const node = link(href('universality', key, i), card.name(key, i), 'name');
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
      'Pearson’s r of each; gap: of activations less that of logit weights',
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
        `r of the two over the pairs: ${fixed(follow[by])}; with a rim: alike` +
        ' in activations and least alike in logit weights';
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

  // The pairs a feature is in: its own, or those whose nearest it is.
  function pairsOf({ columns, keys }, key, number) {
    const column = key === keys[0] ? columns.feature : columns.match;
    const found = [];
    column.forEach((i, m) => {
      if (i === number) found.push(m);
    });
    return found.sort((a, b) => columns.activation[b] - columns.activation[a]);
  }

  const logits = (title, pairs) =>
    element('div', '', [
      element('h4', '', title),
      element(
        'ol',
        'logits',
        pairs.map(([id, value]) =>
          element('li', '', [
            monosem.tokens.chip(id),
            element('span', 'number', fixed(value)),
          ]),
        ),
      ),
    ]);

  async function side(key, number) {
    const record = await monosem.record.feature(key, number);
    const max = data.set(key).columns.max[number];
    const top = record.examples.filter(({ group }) => group === 0);
    const lines = top.slice(0, EXAMPLES).map((example) =>
      element('li', '', [
        element('span', 'number', digits(example.acts[example.own])),
        monosem.tokens.example(example, max, key),
      ]),
    );
    const node = element('article', 'half', [
      card.summary(key, number),
      element('p', 'links', card.elsewhere(record)),
      element('div', 'both', [
        logits('Positive logits', record.raised),
        logits('Negative logits', record.lowered),
      ]),
      element('h4', '', 'Top activations'),
      element('ol', 'examples', lines),
    ]);
    node.setAttribute('aria-label', card.name(key, number));
    return [node, record];
  }

  // A feature and the one of the other set that is most like it.
  async function one(found, key, number, place) {
    const { columns, keys } = found;
    const other = keys[key === keys[0] ? 1 : 0];
    const [own, record] = await side(key, number);
    const [twin] = record.links.twin;
    const back = keys.indexOf(other) === 0 ? 'feature' : 'match';
    const m = pairsOf(found, key, number);
    const pair = m.find((at) => columns[back][at] === twin?.feature) ?? m[0];
    const nearest = twin?.feature ?? (pair >= 0 ? columns[back][pair] : null);
    place.append(
      element('h2', '', `${card.name(key, number)} in the other model`),
      element('p', 'links', [
        link(href('universality'), 'All pairs'),
        link(href(key, number), `Page of ${card.name(key, number)}`),
      ]),
    );
    if (nearest === null) {
      const said = `Nothing in ${data.set(other).run} was compared with it.`;
      place.append(element('p', 'silent', said), own);
      return;
    }
    const at = m.find((n) => columns[back][n] === nearest);
    const r = (name) => (at === undefined ? null : columns[name][at]);
    const rows = [
      ['activations', fixed(twin?.value ?? r('activation'))],
      ['logit weights', fixed(r('logits'))],
      ['attributions', fixed(r('attribution'))],
    ];
    const [theirs] = await side(other, nearest);
    place.append(
      panel(
        'How alike they are',
        `Pearson’s r over ${count(found.meta.tokens)} tokens; of logit weights` +
          ' over the vocabulary; –: not measured of this pair',
        [table(['of', 'r'], rows)],
      ),
      element('div', 'halves', [own, theirs]),
    );
    const more = m.filter((n) => columns[back][n] !== nearest);
    if (more.length) {
      place.append(
        panel(
          `Also nearest to ${card.name(key, number)}`,
          'features whose nearest it is',
          [
            element(
              'p',
              'links',
              more.map((n) => {
                const i = columns[back][n];
                const to = href('universality', other, i);
                const said = fixed(columns.activation[n]);
                return link(to, `${card.name(other, i)} (${said})`);
              }),
            ),
          ],
        ),
      );
    }
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
    await one(found, key, number, place);
    return undefined;
  }

  return {
    title: 'Universality',
    there: () => data.run.views.includes('universality'),
    show,
  };
})();
