'use strict';

// One feature: its numbers, histograms, logit weights, relatives and examples.
monosem.feature = (() => {
  const { button, element, entry, link, panel } = monosem.dom;
  const { count, density, digits, fixed, percent } = monosem.format;
  const { chip, chips } = monosem.tokens;
  const { histogram } = monosem.plots;
  const { href } = monosem.router;
  const STATES = ['dead', 'ultralow', 'live'];

  const there = (name) => monosem.data.run.views.includes(name);

  // What a feature fires on, and what it raises, in short; needs its set's
  // columns.
  function gist(key, number) {
    const set = monosem.data.set(key);
    const label = monosem.labels.text(key, number);
    if (label) {
      return element('bdi', 'label', monosem.tokens.visible(label));
    }
    const { fires, raises } = set.columns;
    return element('span', 'gist', [
      ...chips(monosem.data.row(fires, number)),
      ' → ',
      ...chips(monosem.data.row(raises, number)).slice(0, 3),
    ]);
  }

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
      element('li', '', [
        chip(id),
        element('span', 'number', digits(weight)),
      ]),
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
    return panel('Logit weights', 'over the vocabulary, median 0', [drawn]);
  }

  function neurons(set, record) {
    const key = `${set.meta.model}_neurons`;
    const name = (i) =>
      monosem.data.set(key)
        ? link(href(key, i), `${set.meta.model}/neurons/${i}`)
        : `neuron ${i}`;
    const found = [];
    if (record.aligned.length) {
      found.push(
        panel('Neuron alignment', 'largest coefficients of the decoder row', [
          monosem.dom.table(
            ['neuron', 'value', 'of L1'],
            record.aligned.map(({ neuron, weight, share }) => [
              [name(neuron)],
              fixed(weight),
              percent(share),
            ]),
          ),
        ]),
      );
    }
    if (record.neurons.length) {
      found.push(
        panel('Correlated neurons', 'of activations, over tokens', [
          monosem.dom.table(
            ['neuron', 'Pearson r', 'cosine'],
            record.neurons.map(({ neuron, r, cosine }) => [
              [name(neuron)],
              fixed(r),
              fixed(cosine),
            ]),
          ),
        ]),
      );
    }
    return found;
  }

  const RELATIVES = [
    ['near', 'Nearest features', 'by the cosine of decoder rows', 'map'],
    ['twin', 'The other model’s', 'by Pearson’s r of activations', 'universality'],
    ['parent', 'Splits from', 'masked cosine similarity', 'splitting'],
    ['child', 'Splits into', 'masked cosine similarity', 'splitting'],
    ['next', 'Leads to', 'rise of the probability to fire next', 'automata'],
    ['previous', 'Follows on', 'rise of its probability to fire next', 'automata'],
  ];
  const SHOWN = 8;

  function relatives(set, record) {
    return RELATIVES.flatMap(([kind, title, note, view]) => {
      const found = record.links[kind];
      if (!found.length) return [];
      const list = element('ol', 'relatives');
      const rows = found.map(({ key, feature, value }) => {
        const other = monosem.data.set(key);
        const what = element('span', 'gist');
        monosem.data
          .columns(key)
          .then(() => what.replaceChildren(gist(key, feature)))
          .catch((error) => {
            what.textContent = error.message;
          });
        return element('li', '', [
          link(href(key, feature), `${other.run}/${feature}`),
          element('span', 'number', fixed(value)),
          what,
        ]);
      });
      list.append(...rows.slice(0, SHOWN));
      const more = rows.slice(SHOWN);
      const rest = button(`${more.length} more`, () => {
        list.append(...more);
        rest.remove();
      });
      return [
        panel(title, note, [
          list,
          ...(more.length ? [rest] : []),
          ...elsewhere(view, set, record),
        ]),
      ];
    });
  }

  // Where another view shows this feature.
  function elsewhere(view, set, record) {
    const place = `${set.key}.${record.number}`;
    const address = {
      map: () =>
        monosem.data.run.views.some((name) => name.startsWith('map/')) &&
        `${href('map')}?at=${place}`,
      universality: () => there(view) && href(view, set.key, record.number),
      splitting: () => there(view) && href(view, set.key, record.number),
      automata: () => there(view) && href(view, set.key, record.number),
    }[view]();
    return address
      ? [element('p', 'note', [link(address, `see it in ${view}`)])]
      : [];
  }

  function level({ fraction }, sampleMax) {
    if (fraction === undefined) return '';
    const share = percent(fraction);
    const near = digits(fraction * sampleMax);
    return `near ${near}, ${share} of the sample’s maximum`;
  }

  // The line of an example, and behind a button its whole context.
  function row(set, example, max) {
    const { subsets } = monosem.data.run;
    const own = example.acts[example.own];
    const act = element('span', 'number', digits(own));
    const from = element(
      'span',
      'subset',
      monosem.tokens.visible(subsets[example.subset] ?? '', 24),
    );
    from.title = `context ${example.context}, position ${example.position}`;
    const node = element('li', '', [
      act,
      monosem.tokens.example(example, max, set.key),
      from,
    ]);
    const wider = button('⋯', async () => {
      const open = node.querySelector('.wide');
      wider.setAttribute('aria-expanded', String(!open));
      if (open) {
        open.remove();
        return;
      }
      const wide = element('div', 'wide', 'loading …');
      node.append(wide);
      try {
        wide.replaceChildren(await whole(set, example, max));
      } catch (error) {
        wide.textContent = error.message;
      }
    });
    wider.setAttribute('aria-label', 'Show the whole context');
    wider.setAttribute('aria-expanded', 'false');
    node.append(wider);
    return node;
  }

  async function whole(set, example, max) {
    const context = await monosem.record.context(set.key, example.context);
    if (!context) {
      return element('p', 'note', 'This context is not among the page’s.');
    }
    const start = example.position - example.own;
    const known = (at) => at >= start && at < start + example.ids.length;
    const line = monosem.tokens.line(context.ids, example.position, (at) => ({
      share: known(at) && max > 0 ? example.acts[at - start] / max : 0,
      activation: known(at) ? example.acts[at - start] : undefined,
      effect: known(at) ? example.effects.get(at - start) : undefined,
      key: set.key,
      context: example.context,
      position: at,
    }));
    Array.from(line.children).forEach((node, at) => {
      if (!known(at)) node.classList.add('beyond');
    });
    return element('div', '', [
      line,
      element(
        'p',
        'note',
        `context ${count(example.context)} of ${monosem.data.run.contexts.split}; ` +
          'activations are known of the tokens in full ink',
      ),
    ]);
  }

  function group(set, found, index, record, max) {
    const examples = record.examples.filter(({ group }) => group === index);
    if (examples.length === 0) return [];
    const lines = examples.map((example) => row(set, example, max));
    return [
      panel(
        found.name,
        level(found, record.sampleMax),
        [element('ol', 'examples', lines)],
        'wideblock',
      ),
    ];
  }

  // What only a server can do.
  function live(set, number) {
    const own = monosem.live?.runs.find(({ key }) => key === set.key);
    if (!own) return [];
    const pins = new URLSearchParams({ pins: `${own.run}/${number}=1` });
    const probe = new URLSearchParams({ key: set.key, feature: number });
    return [
      element('p', 'live', [
        link(`#steer?${pins}`, 'Steer with it'),
        ' · ',
        link(`#probe?${probe}`, 'Probe a text'),
      ]),
    ];
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
      gist(set.key, number),
      element('span', 'tools', [
        step('‹', -1, 'the one before in the list ( [ )'),
        step('›', 1, 'the next in the list ( ] )'),
        ...monosem.save.feature(set, record),
      ]),
    ]);
  }

  function draw(place, set, record, list) {
    const { number } = record;
    const fired = set.columns.fired[number];
    const max = set.columns.max[number];
    const silent =
      `Dead: it never fired in the ${count(set.meta.tokens)} tokens read.`;
    const shape = fired ? activations(set, record) : null;
    place.replaceChildren(
      head(set, record, list),
      fired ? statistics(set, record) : element('p', 'silent', silent),
      element('div', 'panels', [
        ...(shape ? [shape] : []),
        logitHistogram(record),
        logits('Positive logits', 'tokens it raises most', record.raised),
        logits('Negative logits', 'tokens it lowers most', record.lowered),
        ...neurons(set, record),
        ...relatives(set, record),
      ]),
      ...live(set, number),
      monosem.labels.panel(set.key, number),
      ...(set.effects ? [legend()] : []),
      ...set.groups.flatMap((found, i) => group(set, found, i, record, max)),
    );
    const mark = ({ detail }) =>
      shape?.querySelector('.plot')?.mark(detail.activation);
    place.removeEventListener('token', place.marking);
    place.marking = mark;
    place.addEventListener('token', mark);
  }

  function legend() {
    const sample = (className, text) => {
      const node = element('span', `token ${className}`, text);
      node.style.setProperty('--effect', 1);
      node.style.setProperty('--shade', className ? 0 : 1);
      return node;
    };
    return element('p', 'note legend', [
      sample('', 'shade'),
      ': activation, of the feature’s maximum. Underlined is the token that is ' +
        'predicted: ',
      sample('helped', 'helped'),
      ' where its loss rises without the feature, ',
      sample('hurt', 'hurt'),
      ' where it falls.',
    ]);
  }

  function say(place, text) {
    place.replaceChildren(element('p', 'silent', text));
  }

  return { draw, gist, say };
})();
