'use strict';

// One feature: its numbers, histograms, logit weights and examples.
monosem.feature = (() => {
  const { byId, element, entry } = monosem.dom;
  const { count, digits, fixed, percent } = monosem.format;
  const { chip, line } = monosem.tokens;
  const { histogram } = monosem.plots;

  const panel = (title, note, content) =>
    element('section', 'panel', [
      element('h3', '', title),
      element('p', 'note', note),
      ...content,
    ]);

  function statistics(fired, max, tokens) {
    return element('dl', '', [
      entry('density', `1 in ${count(Math.round(tokens / fired))} tokens`),
      entry('log₁₀ density', fixed(Math.log10(fired / tokens))),
      entry('fired on', `${count(fired)} of ${count(tokens)} tokens`),
      entry('maximum', digits(max)),
    ]);
  }

  function logits(title, note, [ids, weights]) {
    const rows = ids.map((id, i) =>
      element('li', '', [
        chip(id),
        element('span', 'number', digits(weights[i])),
      ]),
    );
    return panel(title, note, [element('ol', 'logits', rows)]);
  }

  function panels(record, fired) {
    const [left, right] = record.logit_range;
    const activations = histogram(record.histogram, 0, record.sample_max, {
      hue: 'activations',
      label: 'Histogram of activations',
    });
    const weights = histogram(record.logit_histogram, left, right, {
      hue: 'weights',
      label: 'Histogram of logit weights',
    });
    const sampled =
      `${count(record.sampled)} sampled of ${count(fired)} firings`;
    return element('div', 'panels', [
      ...(fired ? [panel('Activations', sampled, [activations])] : []),
      panel('Logit weights', 'over the vocabulary, median 0', [weights]),
      logits('Positive logits', 'tokens it raises most', record.raised),
      logits('Negative logits', 'tokens it lowers most', record.lowered),
    ]);
  }

  function level({ fraction }, sampleMax) {
    if (fraction === undefined) return '';
    const share = percent(fraction);
    const near = digits(fraction * sampleMax);
    return `near ${near}, ${share} of the sample’s maximum`;
  }

  function group(found, record, max) {
    const end = found.start + found.count;
    const examples = record.examples.slice(found.start, end).filter(Boolean);
    if (examples.length === 0) return [];
    const lines = examples.map((example) => line(example, max));
    return [
      panel(found.name, level(found, record.sample_max), [
        element('ol', 'examples', lines),
      ]),
    ];
  }

  function draw({ meta, groups, ...columns }, number, record) {
    const { tokens } = meta;
    const fired = columns.fired[number];
    const max = columns.max[number];
    const silent = `Dead: it never fired in the ${count(tokens)} tokens read.`;
    byId('feature').replaceChildren(
      element('h2', '', `${meta.run}/${number}`),
      fired ? statistics(fired, max, tokens) : element('p', 'silent', silent),
      panels(record, fired),
      ...groups.flatMap((found) => group(found, record, max)),
    );
  }

  function say(text) {
    byId('feature').replaceChildren(element('p', 'silent', text));
  }

  // Shows a feature as soon as its shard is there. `wanted` tells whether it
  // still is the one to show.
  async function show(key, number, wanted) {
    try {
      const record = await monosem.data.feature(key, number);
      if (!wanted()) return;
      draw(monosem.data.dictionaries[key], number, record);
      byId('feature').scrollTop = 0;
    } catch (error) {
      if (wanted()) say(error.message);
    }
  }

  return { say, show };
})();
