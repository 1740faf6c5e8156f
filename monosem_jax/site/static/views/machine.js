'use strict';

// One machine of the view of automata: its graph, the measurements of its edges,
// and texts in which its features fire in turn.
monosem.machine = (() => {
  const { card, panel } = monosem;
  const { element, link, table } = monosem.dom;
  const { count, digits, fixed, percent } = monosem.format;
  const { href } = monosem.router;

  const strings = (list) =>
    element('span', 'chips', list.map(monosem.tokens.chipOf));

  const within = (ends) =>
    ends ? ` (${fixed(ends[0])} to ${fixed(ends[1])})` : '';

  // A change of a probability, plus or minus its standard error.
  const effect = (mean, error) => {
    if (error === null || error === undefined) return '–';
    const sign = mean >= 0 ? '+' : '−';
    return `${sign}${Math.abs(mean).toFixed(3)} ± ${error.toFixed(3)}`;
  };

  // A state's number, from 1, which also marks its tokens in a walk.
  const sign = (k) => element('span', `sign state${k % 6}`, String(k + 1));

  function graph(m) {
    const names = m.nodes.map(({ feature }) => feature);
    const boxes = m.nodes.map((node, k) => {
      const [key, number] = card.parse(node.feature);
      const line = (title, tokens) =>
        element('p', '', [
          element('span', 'note', `${title} `),
          strings(tokens.slice(0, 4)),
        ]);
      const name =
        key === undefined
          ? element('span', 'name', node.feature)
          : link(href('automata', key, number), node.feature, 'name');
      const said = key === undefined ? null : card.said(key, number);
      const head = [sign(k), name];
      if (key !== undefined) {
        const page = link(href(key, number), 'page', 'page nosave');
        page.setAttribute('aria-label', `Page of ${node.feature}`);
        head.push(page);
      }
      const box = element('div', 'card', [
        element('div', 'head', head),
        ...[said].filter(Boolean),
        line('fires on', node.fires_on),
        line('predicts', node.predicts),
      ]);
      return monosem.graph.box(node.feature, box);
    });
    const edges = m.measured.map((e, k) => ({
      from: e.from,
      to: e.to,
      weight: m.predicted[k],
      text: fixed(m.predicted[k]),
      title:
        `${e.from} to ${e.to}: predicted ${fixed(m.predicted[k])}, observed ` +
        `${fixed(e.observed)} at a base rate of ${digits(e.base)}, ` +
        `pinned ${effect(e.pinned, e.pinned_se)}`,
    }));
    const options = { label: 'Edges by predicted probability' };
    // A chain has a beginning and an end.
    return m.kind === 'chain'
      ? monosem.graph.layers(
          boxes.map((box, k) => ({ title: names[k], nodes: [box] })),
          edges,
          options,
        )
      : monosem.graph.circle(boxes, edges, options);
  }

  const ORDERS = new Map([
    [true, 'its states have an order'],
    [false, 'its states have no order'],
    [null, 'a single state has no order'],
  ]);

  const measured = (m) =>
    panel(
      'Edges',
      'predicted: the rise of the probability that “to” fires on the next' +
        ' token, from logit weights. In held-out text, observed: how often' +
        ' “to” fires on the token after “from” (95% interval over groups of' +
        ' documents); base rate: how often “to” fires at all; reverse: how' +
        ' often “from” fires on the token after “to”; stays: how often “from”' +
        ' fires again. pinned, ablated: the change of the probability that' +
        ' “to” fires next when “from” is pinned, or ablated where it fires' +
        ' (± standard error over contexts)',
      [
        element(
          'p',
          '',
          `q ${digits(m.q)}, within labels ${digits(m.q_within)}; permuted` +
            ` rows give ${fixed(m.expected)} machines as strong. In held-out` +
            ` text ${ORDERS.get(m.ordered)}${
              m.asymmetry !== null
                ? `, asymmetry at least ${fixed(m.asymmetry)}`
                : ''
            }.`,
        ),
        table(
          [
            ...['from', 'to', 'predicted', 'observed', 'base rate', 'reverse'],
            ...['stays', 'pinned', 'ablated', 'contexts'],
          ],
          m.measured.map((e, k) => [
            e.from,
            e.to,
            fixed(m.predicted[k]),
            fixed(e.observed) + within(e.observed_interval),
            digits(e.base),
            fixed(e.reverse),
            fixed(e.stays),
            effect(e.pinned, e.pinned_se),
            effect(e.ablated, e.ablated_se),
            e.contexts.map((n) => count(n)).join(', '),
          ]),
        ),
      ],
      'wideblock',
    );

  // Tokens with the number of each one's state below it; -1 for no state.
  const steps = (tokens, nodes) =>
    tokens.map((token, i) => {
      const chip = monosem.tokens.chipOf(token);
      const own = nodes[i];
      if (own < 0) return element('span', 'step off', [chip]);
      const step = element('span', `step state${own % 6}`, [chip]);
      const mark = element('sub', '', String(own + 1));
      mark.setAttribute('aria-label', `state ${own + 1}`);
      step.append(mark);
      return step;
    });

  // A passage of held-out text in which its features fire in turn.
  const excerpt = (m) =>
    m.excerpt
      ? panel(
          'In held-out text',
          'the longest run of tokens on which its features fire in turn:' +
            ` ${count(m.excerpt.length)}, in ${m.excerpt.subset}`,
          [
            element(
              'p',
              'walk excerpt',
              steps(m.excerpt.tokens, m.excerpt.nodes),
            ),
          ],
        )
      : element(
          'p',
          'silent',
          'Its features never fire in turn in held-out text.',
        );

  // A sampled text, each token with the state that fired most on it.
  function walk(m) {
    const { tokens, nodes, on_machine: share, unpinned, walks } = m.text;
    return panel(
      'A walk',
      'text sampled while the features are pinned in turn; below each token,' +
        ` the state that fires most on it. In ${count(walks)} walks,` +
        ` ${percent(share)} of the tokens are on the machine, and` +
        ` ${percent(unpinned)} without pins, after the same prompts`,
      [element('p', 'walk', steps(tokens, nodes))],
    );
  }

  return { excerpt, graph, measured, strings, walk };
})();
