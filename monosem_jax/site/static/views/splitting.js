'use strict';

// How features split in larger dictionaries: a summary, and one feature with
// those that it comes from and splits into. `#splitting`, `#splitting/A1/123`.
monosem.views.splitting = (() => {
  const { data, card, panel } = monosem;
  const { element, field, link, select, table } = monosem.dom;
  const { count, fixed } = monosem.format;
  const { go, href } = monosem.router;
  const SHOWN = 24; // features of a column
  const ROW = 30;
  const NOTHING = 'No feature of another size is similar enough.';

  // Sorts edges by one of their ends. Those of feature i lie at of[i] up to
  // of[i + 1] in `other` and `value`.
  function sorted(features, ends, others, values) {
    const of = new Uint32Array(features + 1);
    for (const i of ends) of[i + 1]++;
    for (let i = 0; i < features; i++) of[i + 1] += of[i];
    const next = of.slice();
    const other = new Uint32Array(ends.length);
    const value = new Float64Array(ends.length);
    for (let m = 0; m < ends.length; m++) {
      const at = next[ends[m]]++;
      other[at] = others[m];
      value[at] = values[m];
    }
    return { of, other, value };
  }

  // Loads the pack: the sets' keys from small to large, and the edges between
  // neighbouring sizes, in both directions.
  let known = null;
  async function read() {
    const pack = await data.load('splitting');
    if (known?.pack === pack) return known;
    const keys = pack.meta.sets.map((n) => data.sets[n].key);
    await card.load(...keys);
    const steps = keys.slice(1).map((key, k) => {
      const value = pack[`value${k}`];
      const [source, target] = [pack[`source${k}`], pack[`target${k}`]];
      return {
        down: sorted(data.set(keys[k]).features, source, target, value),
        up: sorted(data.set(key).features, target, source, value),
      };
    });
    known = { pack, keys, steps };
    return known;
  }

  const links = ({ of, other, value }, i) => {
    const [from, to] = [of[i], of[i + 1]];
    return Array.from(other.subarray(from, to), (to, n) => [
      to,
      value[from + n],
    ]);
  };

  const own = (key, number) => href('splitting', key, number);

  function summary({ pack, keys }) {
    const { threshold, tokens, steps, components, largest } = pack.meta;
    const heads = [
      ...['from', 'to', 'split', 'one to one', 'merged', 'without', 'new'],
    ];
    return [
      panel(
        'From size to size',
        'An edge joins features of neighbouring sizes whose activations have' +
          ` a masked cosine above ${threshold}, over ${count(tokens)} tokens.`,
        [
          table(
            heads,
            steps.map((step) => [
              step.from,
              step.to,
              count(step.splits),
              count(step.one_to_one),
              count(step.merges),
              count(step.without),
              count(step.new),
            ]),
          ),
          element(
            'p',
            'note',
            'split: features with several edges to the larger dictionary;' +
              ' one to one: with one edge, to a feature with no other;' +
              ' merged: features of the larger dictionary with several edges;' +
              ' without: features with no edge; new: features of the larger' +
              ' dictionary with no edge.',
          ),
          element(
            'p',
            '',
            `The edges form ${count(components)} connected components; the` +
              ` largest have ${largest.map(count).join(', ')} features.`,
          ),
        ],
      ),
      most(keys),
    ];
  }

  // The list of the features that split most, of one dictionary.
  function most(keys) {
    const choices = keys.slice(0, -1).map((key, k) => [k, data.set(key).run]);
    let order = [];
    let step = 0;
    const heading = element('div', 'longhead', [
      element('span', '', 'feature'),
      element('span', 'number', 'children'),
      element('span', '', 'label, or what it fires on'),
    ]);
    const rows = monosem.rows.make({
      label: 'Features that split most',
      height: ROW,
      draw: (place) => {
        const [i, children] = order[place];
        const key = keys[step];
        const name = link(own(key, i), card.name(key, i), 'name');
        name.tabIndex = -1;
        return [
          name,
          element('span', 'number', count(children)),
          card.said(key, i) ?? card.chips(key, i, 'fires'),
        ];
      },
      onOpen: (place) => go('splitting', keys[step], order[place][0]),
    });
    function arrange() {
      const { of } = known.steps[step].down;
      order = [];
      for (let i = 0; i + 1 < of.length; i++) {
        if (of[i + 1] - of[i] > 1) order.push([i, of[i + 1] - of[i]]);
      }
      order.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      rows.set(order.length);
    }
    const choose = select(choices, '0', (value) => {
      step = Number(value);
      arrange();
    });
    arrange();
    return panel('Features that split most', '', [
      field('of ', choose),
      heading,
      rows.node,
    ]);
  }

  // Follows edges from a feature, two sizes up (sign 1) or down (-1). Returns
  // for each size {level, nodes, total, edges: [[to, value, from]]}.
  function follow({ keys, steps }, level, number, sign) {
    const found = [];
    let from = [number];
    for (let n = 1; n <= 2; n++) {
      const at = level + sign * n;
      if (at < 0 || at >= keys.length) break;
      const step = steps[sign > 0 ? at - 1 : at];
      const edges = from.flatMap((i) =>
        links(sign > 0 ? step.down : step.up, i).map(([to, value]) => [
          to,
          value,
          i,
        ]),
      );
      edges.sort((a, b) => b[1] - a[1]);
      const all = [...new Set(edges.map(([to]) => to))];
      const kept = new Set(all.slice(0, SHOWN));
      found.push({
        level: at,
        nodes: [...kept],
        total: all.length,
        edges: edges.filter(([to]) => kept.has(to)),
      });
      from = [...kept];
    }
    return found;
  }

  function graph(read, level, number) {
    const { keys } = read;
    const columns = [];
    const edges = [];
    for (const sign of [-1, 1]) {
      follow(read, level, number, sign).forEach((found, n) => {
        columns[found.level] = found;
        for (const [to, value, from] of found.edges) {
          const near = [level + sign * n, from];
          const far = [found.level, to];
          const [a, b] = sign > 0 ? [near, far] : [far, near];
          const name = ([at, i]) => card.name(keys[at], i);
          edges.push({
            from: a.join('/'),
            to: b.join('/'),
            weight: value,
            title: `${name(a)} to ${name(b)}: ${fixed(value)}`,
          });
        }
      });
    }
    columns[level] = { level, nodes: [number], total: 1, edges: [] };
    const least = read.pack.meta.threshold;
    const boxes = ({ level: at, nodes, edges: own }) =>
      nodes.map((i) => {
        const best = own.find(([to]) => to === i)?.[1];
        const extra =
          best === undefined ? [] : [element('span', 'weight', fixed(best))];
        const node = card.make(keys[at], i, {
          to: href('splitting', keys[at], i),
          extra,
        });
        if (at === level) node.firstChild.firstChild.ariaCurrent = 'true';
        return monosem.graph.box(
          `${at}/${i}`,
          node,
          at === level ? 'focus' : '',
        );
      });
    return monosem.graph.layers(
      columns.filter(Boolean).map((column) => ({
        title: title(data.set(keys[column.level]), column),
        nodes: [...boxes(column), ...rest(column)],
      })),
      edges.map((e) => ({ ...e, weight: e.weight - least })),
      { label: 'Edges by masked cosine similarity', most: 1 - least },
    );
  }

  const title = ({ run, features }, { total }) =>
    `${run}, ${count(total)} of ${count(features)}`;

  const rest = ({ nodes, total }) =>
    total > nodes.length
      ? [element('p', 'note', `${count(total - nodes.length)} more, weaker`)]
      : [];

  async function show([key, text], query, place) {
    const found = await read();
    place.append(element('h2', '', 'Splitting'));
    if (key === undefined) {
      place.append(...summary(found));
      return undefined;
    }
    const level = found.keys.indexOf(key);
    const number = card.number(key, text);
    if (level < 0 || number === null) {
      const runs = found.keys.map((k) => data.set(k).run).join(', ');
      place.append(
        element(
          'p',
          'silent',
          `There is no such feature here, only those of ${runs}.`,
        ),
        element('p', '', [link(href('splitting'), 'All features')]),
      );
      return undefined;
    }
    const { node, end } = graph(found, level, number);
    const alone = node.querySelectorAll('.node').length === 1;
    place.append(
      element('p', 'links', [
        link(href('splitting'), 'Features that split most'),
        link(href(key, number), `Page of ${card.name(key, number)}`),
      ]),
      panel(
        `${card.name(key, number)} among other sizes`,
        'from smaller to larger dictionaries; arrows by masked cosine' +
          ` similarity above ${found.pack.meta.threshold}; choose a feature` +
          ' to go there',
        [node, ...(alone ? [element('p', 'silent', NOTHING)] : [])],
        'wideblock',
      ),
    );
    node.querySelector('.focus').scrollIntoView({ block: 'center' });
    return end;
  }

  return {
    title: 'Splitting',
    order: 40,
    there: () => data.run.views.includes('splitting'),
    show,
  };
})();
