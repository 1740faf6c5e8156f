'use strict';

// The view of all labels and scores, which reads and writes files of labels.
monosem.views.labelling = (() => {
  const { panel } = monosem;
  const { button, element, field, link, svg, table } = monosem.dom;
  const { count, percent } = monosem.format;
  const { visible } = monosem.tokens;
  const { identity, median, parts, read, scores, write } = monosem.labelfile;
  const { what } = monosem.labelform;
  const LARGEST = 20e6; // bytes of a file
  const REASONS = 20;
  // Median scores that the paper published.
  const PAPER = { features: 12, neurons: 0 };

  // A histogram of scores from 0 to 14, features and neurons side by side.
  function histogram(found) {
    const bins = monosem.rubric.MOST + 1;
    const [WIDTH, HEIGHT] = [600, 120];
    const step = WIDTH / bins;
    const heights = Object.values(found).map(({ points }) => {
      const counts = Array(bins).fill(0);
      for (const n of points) counts[n]++;
      return counts;
    });
    const most = Math.max(...heights.flat(), 1);
    const bars = heights.flatMap((counts, kind) =>
      counts.map((n, i) => {
        const height = (HEIGHT * n) / most;
        const box = {
          class: kind ? 'ofneurons' : 'offeatures',
          x: i * step + (kind ? step / 2 : 1),
          y: HEIGHT - height,
          width: step / 2 - 1,
          height,
        };
        const name = Object.keys(found)[kind];
        const title = `${i} points: ${count(n)} intervals of ${name}`;
        return svg('rect', box, [svg('title', {}, title)]);
      }),
    );
    const texts = [...Array(bins).keys()].map((i) =>
      svg('text', { x: (i + 0.5) * step, y: HEIGHT + 14 }, String(i)),
    );
    const view = {
      class: 'scores',
      viewBox: `0 0 ${WIDTH} ${HEIGHT + 18}`,
      role: 'img',
      'aria-label': 'Histogram of points, of features and of neurons',
    };
    return element('div', 'plot', [
      element('p', 'note', [
        element('span', 'key offeatures', ''),
        ' features ',
        element('span', 'key ofneurons', ''),
        ` neurons; intervals by points, highest bar ${count(most)}`,
      ]),
      svg('svg', view, [...bars, ...texts]),
    ]);
  }

  function distribution(title, note, found) {
    const kinds = Object.entries(found);
    const names = new Set(
      kinds.flatMap(([, own]) => [...own.intervals.keys()]),
    );
    const cell = (values) =>
      values ? `${count(median(values))} (of ${count(values.length)})` : '–';
    return panel(
      title,
      note,
      [
        histogram(found),
        table(
          [
            ...['', 'paper’s median', 'median'],
            ...['intervals', 'of different ones', 'above 8'],
          ],
          kinds.map(([kind, own]) => [
            kind,
            String(PAPER[kind]),
            count(own.median),
            count(own.points.length),
            count(own.features),
            own.points.length ? percent(own.above / own.points.length) : '–',
          ]),
        ),
        table(
          ['median of', ...kinds.map(([kind]) => kind)],
          [...names].map((name) => [
            name,
            ...kinds.map(([, own]) => cell(own.intervals.get(name))),
          ]),
        ),
      ],
      'wideblock',
    );
  }

  function results(entries) {
    const made = [
      [true, 'Scores, blind', 'given as by the paper’s annotator'],
      [false, 'Scores, not blind', ''],
    ];
    return made.flatMap(([blind, title, note]) => {
      const found = scores(entries, blind);
      const any = Object.values(found).some((own) => own.points.length);
      return any ? [distribution(title, note, found)] : [];
    });
  }

  // Reads a file of labels into this browser; returns lines that tell the
  // result.
  async function take(file) {
    if (file.size > LARGEST) {
      return ['The file is larger than 20 MB and was not read.'];
    }
    let found;
    try {
      found = read(await file.text());
    } catch (error) {
      return [`Nothing was taken. ${error.message}`];
    }
    const entries = await monosem.labels.every();
    const there = new Map(entries.map((entry) => [identity(entry), entry]));
    const known = (entry) => there.get(identity(entry));
    const fresh = found.taken.filter((entry) => !known(entry));
    const changed = found.taken.filter(
      (entry) => known(entry) && write([entry]) !== write([known(entry)]),
    );
    if (fresh.length + changed.length) monosem.labels.set(...fresh, ...changed);
    const same = found.taken.length - fresh.length - changed.length;
    return [
      `${count(fresh.length)} new, ${count(changed.length)} changed, ` +
        `${count(same)} the same, ${count(found.refused.length)} refused.`,
      ...found.refused.slice(0, REASONS),
      ...(found.refused.length > REASONS ? ['…'] : []),
      ...(monosem.labels.trouble() ? [monosem.labels.trouble()] : []),
    ];
  }

  function files() {
    const report = element('ul', 'refusals');
    report.setAttribute('role', 'status');
    const say = (lines) =>
      report.replaceChildren(...lines.map((line) => element('li', '', line)));
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = '.json,application/json';
    input.addEventListener('change', async () => {
      if (!input.files.length) return;
      say(['Reading…']);
      say(await take(input.files[0]));
      input.value = '';
    });
    const save = async () => {
      const text = write(await monosem.labels.every());
      const blob = new Blob([text], { type: 'application/json' });
      monosem.save.file('labels.json', blob);
    };
    if (monosem.labels.trouble()) say([monosem.labels.trouble()]);
    return panel(
      'labels.json',
      'the labels of this page, and those stored in this browser',
      [
        element('div', 'choice nosave', [
          button('Save labels.json', save),
          field('Read a labels.json:', input),
        ]),
        report,
        element(
          'p',
          '',
          'To publish the labels, put the saved file into the run’s work ' +
            'directory, as WORKDIR/labels.json, and run monosem site: the ' +
            'new page has the labels, and the report has the scores.',
        ),
      ],
      'wideblock',
    );
  }

  function labelled(entries) {
    const by = new Map();
    for (const entry of entries) {
      if (!by.has(entry.feature)) by.set(entry.feature, []);
      by.get(entry.feature).push(entry);
    }
    const SHOWN = 500;
    const rows = [...by].slice(0, SHOWN).map(([feature, own]) => {
      const [run, number] = parts(feature);
      const set = monosem.data.sets.find((other) => other.run === run);
      const label =
        (set && monosem.labels.text(set.key, number)) || own[0].label;
      return [
        set ? [link(monosem.router.href(set.key, number), feature)] : feature,
        [element('bdi', '', visible(label, 200) || '–')],
        own.slice(0, 5).map(what).join('; ') + (own.length > 5 ? '; …' : ''),
      ];
    });
    const note =
      by.size > SHOWN ? `the first ${SHOWN} of ${count(by.size)}` : '';
    const content = [table(['feature', 'label', 'by'], rows)];
    return panel('Labelled', note, content, 'wideblock');
  }

  async function show(rest, query, place) {
    if (rest[0] === 'blind') {
      return monosem.blinditem.show(rest.slice(1), place);
    }
    place.classList.add('labelling');
    const body = element('div', '');
    place.replaceChildren(
      element('h2', '', 'Labels'),
      element(
        'p',
        '',
        'Each feature’s page has a form for its label and for the paper’s ' +
          'rubric of 14 points. For unbiased scores, label blind: features ' +
          'and neurons come in random order, and nothing tells which is which.',
      ),
      monosem.blind.setup(),
      files(),
      body,
    );
    const draw = async () => {
      const entries = await monosem.labels.every();
      body.replaceChildren(
        ...results(entries),
        ...(entries.length ? [labelled(entries)] : []),
      );
    };
    await draw();
    document.addEventListener('labels', draw);
    return () => document.removeEventListener('labels', draw);
  }

  return { title: 'Labels', order: 80, there: () => true, show };
})();
