'use strict';

// A feature beside the most similar one of another model. `found` is what
// universality.js has loaded.
monosem.twins = (() => {
  const { data, card, panel } = monosem;
  const { element, link, table } = monosem.dom;
  const { count, digits, fixed } = monosem.format;
  const { href } = monosem.router;
  const EXAMPLES = 12;

  // The pairs that have a feature, by falling correlation of activations.
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
    const lines = top
      .slice(0, EXAMPLES)
      .map((example) =>
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

  // Shows a feature and the most similar one of the other set.
  async function show(found, key, number, place) {
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
      const said = `It was compared with no feature of ${data.set(other).run}.`;
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
        'Similarity',
        `Pearson’s r over ${count(found.meta.tokens)} tokens; that of logit` +
          ' weights is over the vocabulary; –: not measured for this pair',
        [table(['of', 'r'], rows)],
      ),
      element('div', 'halves', [own, theirs]),
    );
    const more = m.filter((n) => columns[back][n] !== nearest);
    if (more.length) {
      place.append(
        panel(
          `Also nearest to ${card.name(key, number)}`,
          'features whose nearest one it is',
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

  return show;
})();
