'use strict';

// One feature: its numbers, histograms, logit weights, relatives and examples.
monosem.feature = (() => {
  const { panel } = monosem;
  const { button, element, entry, link } = monosem.dom;
  const { count, density, digits, percent } = monosem.format;
  const { chip } = monosem.tokens;
  const { histogram } = monosem.plots;
  const STATES = ['dead', 'rare', 'low mode', 'live'];

  function statistics(set, record) {
    const { fired, max } = set.columns;
    const { tokens } = set.meta;
    const own = fired[record.number];
    return element('dl', 'numbers', [
      entry('density', [
        density(own / tokens),
        element('small', '', ` 1 in ${count(Math.round(tokens / own))} tokens`),
      ]),
      entry('fired on', `${count(own)} of ${count(tokens)} tokens`),
      entry('maximum', digits(max[record.number])),
    ]);
  }

  function logits(title, note, pairs) {
    const rows = pairs.map(([id, weight]) =>
      element('li', '', [chip(id), element('span', 'number', digits(weight))]),
    );
    return panel(title, note, [element('ol', 'logits', rows)]);
  }

  // The activations' histogram, as counts or weighted by activation.
  function activations(set, record) {
    const { histogram: counts, sampleMax } = record;
    const width = sampleMax / counts.length;
    const total = counts.reduce((sum, n, i) => sum + n * (i + 0.5) * width, 0);
    const forms = {
      counts: () =>
        histogram(counts, 0, sampleMax, {
          hue: 'activations',
          label: 'Histogram of activations',
          unit: 'activation',
        }),
      'expected value': () =>
        histogram(
          counts.map((n, i) => (n * (i + 0.5) * width) / (total || 1)),
          0,
          sampleMax,
          {
            hue: 'activations',
            label: 'Share of all activation, by activation',
            unit: 'activation',
            of: percent,
          },
        ),
    };
    const place = element('div', 'forms');
    const buttons = Object.keys(forms).map((name) =>
      button(name, () => choose(name)),
    );
    function choose(name) {
      place.replaceChildren(forms[name]());
      buttons.forEach((node) =>
        node.setAttribute('aria-pressed', String(node.textContent === name)),
      );
    }
    choose('counts');
    const own = set.columns.fired[record.number];
    return panel(
      'Activations',
      `${count(record.sampled)} sampled of ${count(own)} firings`,
      [place, element('div', 'choice', buttons)],
    );
  }

  function logitHistogram(record) {
    const [left, right] = record.logitRange;
    const drawn = histogram(record.logitHistogram, left, right, {
      hue: 'weights',
      label: 'Histogram of logit weights',
      unit: 'logit weight',
    });
    return panel(
      'Logit weights',
      'over the vocabulary, shifted to a median of 0',
      [drawn],
    );
  }

  // Links to other views of the feature, and to what a server offers.
  function elsewhere(set, record) {
    const found = monosem.card.elsewhere(record);
    const own = monosem.live?.runs.find(({ key }) => key === set.key);
    if (own) {
      const pins = { pins: `${own.run}/${record.number}=1` };
      const probe = { key: set.key, feature: record.number };
      found.push(
        link(`#steer?${new URLSearchParams(pins)}`, 'Steer with it'),
        link(`#probe?${new URLSearchParams(probe)}`, 'Probe a text'),
      );
    }
    return element('p', 'elsewhere', found);
  }

  function head(set, record, list) {
    const { number } = record;
    const state = STATES[set.columns.state[number]];
    const step = (sign, by, title) => {
      const node = button(sign, () => list.step(by), title);
      node.setAttribute('aria-label', title);
      return node;
    };
    return element('div', 'featurehead', [
      element('h2', '', `${set.run}/${number}`),
      element('span', `state ${state}`, state),
      monosem.card.gist(set.key, number),
      element('span', 'tools', [
        step('‹', -1, 'previous in the list ( [ )'),
        step('›', 1, 'next in the list ( ] )'),
        ...monosem.published.buttons(set, record),
      ]),
    ]);
  }

  function draw(place, set, record, list) {
    const { number } = record;
    const fired = set.columns.fired[number];
    const max = set.columns.max[number];
    const tokens = count(set.meta.tokens);
    const silent = `Dead: it never fired on the ${tokens} tokens read.`;
    const shape = fired ? activations(set, record) : null;
    place.replaceChildren(
      head(set, record, list),
      elsewhere(set, record),
      fired ? statistics(set, record) : element('p', 'silent', silent),
      element('div', 'panels', [
        ...(shape ? [shape] : []),
        logitHistogram(record),
        logits('Positive logits', 'tokens it raises most', record.raised),
        logits('Negative logits', 'tokens it lowers most', record.lowered),
        ...monosem.relatives.neurons(set, record),
      ]),
      ...monosem.examples.top(set, record, max),
      element('div', 'panels', monosem.relatives.linked(record)),
      monosem.labelform.make(set.key, number),
      ...monosem.examples.others(set, record, max),
    );
    const mark = ({ detail }) =>
      shape?.querySelector('.plot')?.mark(detail.activation);
    place.removeEventListener('token', place.marking);
    place.marking = mark;
    place.addEventListener('token', mark);
  }

  function say(place, text) {
    place.replaceChildren(element('p', 'silent', text));
  }

  return { draw, say };
})();
