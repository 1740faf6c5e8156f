'use strict';

// Features that work as finite-state machines: the machines that were found,
// and what fires before and after any feature. `#automata/2`,
// `#automata/A1/123`.
monosem.views.automata = (() => {
  const { card, data, panel } = monosem;
  const { excerpt, graph, measured, strings, walk } = monosem.machine;
  const { element, link, table } = monosem.dom;
  const { count, digits, fixed } = monosem.format;
  const { href } = monosem.router;
  const TITLES = {
    'self-loop': 'Self-loops',
    'two-cycle': 'Two-cycles',
    cycle: 'Cycles',
    chain: 'Chains',
    clique: 'Cliques',
  };
  const WAY = 6; // features visited before that the address keeps

  const machine = (n) => href('automata', n);
  const state = (key, number, by = []) =>
    href('automata', key, number) +
    (by.length ? `?by=${by.slice(-WAY).join('.')}` : '');

  const about = (m) =>
    m.about ? element('bdi', '', monosem.tokens.visible(m.about)) : '';

  // The listed machines, by kind.
  function listed(meta, shown) {
    const kinds = new Map();
    meta.machines.forEach((m, n) => {
      if (!kinds.has(m.kind)) kinds.set(m.kind, []);
      const node = link(machine(n), [
        element('span', '', `${n}`),
        about(m),
        strings(m.nodes.map(({ fires_on: tokens }) => tokens[0] ?? '')),
      ]);
      if (n === shown) node.setAttribute('aria-current', 'true');
      kinds.get(m.kind).push(element('li', '', [node]));
    });
    const nav = element(
      'nav',
      'machines',
      [...kinds].flatMap(([kind, nodes]) => [
        element('h3', '', TITLES[kind] ?? kind),
        element(
          'span',
          'note',
          `${count(meta.surviving[kind])} of ${count(meta.count[kind])} survive, ` +
            `${count(meta.ordered[kind])} ordered`,
        ),
        element('ol', '', nodes),
      ]),
    );
    nav.setAttribute('aria-label', 'Machines');
    return nav;
  }

  const family = ({ kind, features }) => {
    if (kind !== 'cycle') return TITLES[kind];
    return features ? `Cycles of ${features}` : 'Longer cycles';
  };

  // The machines that were found, beside those that arise by chance.
  function evidence(meta) {
    const edges = Object.entries(meta.transitions).map(([name, e]) => [
      `${name} (${count(e.edges)})`,
      count(e.rising),
      digits(e.median_observed),
      digits(e.median_base),
    ]);
    const named = meta.named.map((x) =>
      element('li', '', [
        element('strong', '', `${x.name}: `),
        x.survives ? 'survives' : `not found: ${x.not_found}`,
        ...(x.machine ? [measured(x.machine), excerpt(x.machine)] : []),
      ]),
    );
    const body = [
      element('summary', '', 'Compared with chance'),
      element(
        'p',
        'note',
        'Machines are also searched for after permuting the rows of logit' +
          ` weights among the ${count(meta.live)} live features,` +
          ` ${count(meta.permutations)} times. A machine survives if its` +
          ` q-value is at most ${meta.q} (Benjamini and Hochberg, over all` +
          ' tuples of features; its weakest edge is compared with those of' +
          ' permuted rows). If rows are permuted only among features with the' +
          ' same label, features of one kind of text still lead to each' +
          ' other. A machine that survives this, too, is more than such a' +
          ' group.',
      ),
      table(
        [
          'kind',
          'found',
          'permuted: mean',
          'most',
          'survive',
          'within labels: mean',
          'most',
          'survive both',
        ],
        meta.null.map((row) => [
          family(row),
          count(row.found),
          digits(row.null_mean),
          count(row.null_max),
          count(row.surviving),
          digits(row.within_mean),
          count(row.within_max),
          count(row.surviving_within),
        ]),
      ),
      element(
        'p',
        'note',
        `Edges predicted above ${meta.threshold}: for how many the next` +
          ' feature fires more often after the first one than at all, in' +
          ` ${count(meta.held_out_tokens)} held-out pairs of tokens, at the` +
          ' same false discovery rate.',
      ),
      table(['edges', 'rise', 'median observed', 'median base rate'], edges),
      element('p', 'note', 'Systems that the paper names'),
      element('ul', 'named', named),
    ];
    return element('details', 'evidence', body);
  }

  function one(meta, n, place) {
    const m = meta.machines[n];
    const { node, end } = graph(m);
    const title = (TITLES[m.kind] ?? m.kind).replace(/s$/, '');
    const from = m.nodes.length === 1 ? 'feature' : 'features';
    place.append(
      evidence(meta),
      element('div', 'machine', [
        listed(meta, n),
        element('article', '', [
          element('h2', '', [`${title} ${n} `, about(m)]),
          panel(
            'States',
            `${m.nodes.length} ${from}; arrows by predicted probability`,
            [node],
            'wideblock',
          ),
          measured(m),
          excerpt(m),
          walk(m),
        ]),
      ]),
    );
    return end;
  }

  // The machines that a feature is a state of.
  const machinesOf = (meta, name) =>
    meta.machines.flatMap((m, n) =>
      m.nodes.some(({ feature }) => feature === name) ? [n] : [],
    );

  async function feature(meta, key, number, query, place) {
    await data.columns(key);
    const record = await monosem.record.feature(key, number);
    const { next, previous } = record.links;
    await card.load(...new Set([...next, ...previous].map((x) => x.key)));
    const way = (query.get('by') ?? '')
      .split('.')
      .filter((text) => card.number(key, text) !== null)
      .map(Number);
    const name = card.name(key, number);
    const id = (side, x) => `${side}/${x.key}/${x.feature}`;
    const column = (side, links) =>
      links.map((x) =>
        monosem.graph.box(
          id(side, x),
          card.make(x.key, x.feature, {
            to: state(x.key, x.feature, [...way, number]),
            extra: [element('span', 'weight', fixed(x.value))],
          }),
        ),
      );
    const middle = monosem.graph.box('here', card.make(key, number), 'focus');
    const edge = (from, to, x, title) => ({
      ...{ from, to, title },
      weight: x.value,
    });
    const { node, end } = monosem.graph.layers(
      [
        { title: 'Follows', nodes: column('before', previous) },
        { title: name, nodes: [middle] },
        { title: 'Leads to', nodes: column('after', next) },
      ],
      [
        ...previous.map((x) =>
          edge(
            id('before', x),
            'here',
            x,
            `${card.name(x.key, x.feature)} to ${name}: ${fixed(x.value)}`,
          ),
        ),
        ...next.map((x) =>
          edge(
            'here',
            id('after', x),
            x,
            `${name} to ${card.name(x.key, x.feature)}: ${fixed(x.value)}`,
          ),
        ),
      ],
      { label: 'Edges by the rise of the probability of firing next' },
    );
    const among = machinesOf(meta, name);
    const trail = way.flatMap((i, k) => [
      link(state(key, i, way.slice(0, k)), card.name(key, i)),
      ' → ',
    ]);
    place.append(
      element('h2', '', `From state to state: ${name}`),
      element('p', 'links', [
        link(href('automata'), 'All machines'),
        ...among.map((n) => link(machine(n), `Machine ${n}`)),
        ...card.elsewhere(record),
      ]),
      ...(trail.length ? [element('p', 'trail', [...trail, name])] : []),
      panel(
        'What fires before and after',
        'by the rise of the probability that a feature fires on the next' +
          ' token, predicted from logit weights; choose one to go there',
        [node],
        'wideblock',
      ),
    );
    if (!next.length && !previous.length) {
      place.append(element('p', 'silent', `No edges of ${name} are known.`));
    }
    return end;
  }

  function none(meta, place) {
    const found = Object.entries(meta.count).map(
      ([kind, n]) => `${count(n)} ${(TITLES[kind] ?? kind).toLowerCase()}`,
    );
    place.append(
      element('h2', '', 'Automata'),
      element(
        'p',
        'silent',
        `${count(meta.edges)} edges were predicted over ${count(meta.tokens)}` +
          ` tokens, ${count(meta.edges_above_threshold)} of them above the` +
          ` threshold. They form ${found.join(', ')}, none of which is` +
          ' distinguishable from chance.',
      ),
      evidence(meta),
    );
  }

  async function show([first, text], query, place) {
    const { meta } = await data.load('automata');
    if (text !== undefined) {
      const number = card.number(first, text);
      if (number !== null) return feature(meta, first, number, query, place);
      place.append(element('p', 'silent', 'There is no such feature.'));
      return undefined;
    }
    const n = first === undefined ? 0 : Number(first);
    await Promise.all(
      [...new Set(meta.machines.flatMap((m) => m.nodes.map((x) => x.feature)))]
        .map((name) => card.parse(name)[0])
        .filter((key, i, all) => key && all.indexOf(key) === i)
        .map((key) => data.columns(key)),
    );
    if (meta.machines[n]) return one(meta, n, place);
    none(meta, place);
    return undefined;
  }

  return {
    title: 'Automata',
    order: 60,
    there: () => data.run.views.includes('automata'),
    show,
  };
})();
