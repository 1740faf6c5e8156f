'use strict';

// The report beside the paper's figures, with warnings and provenance, by which
// a reader can judge it.
monosem.scorecard = (() => {
  const { panel } = monosem;
  const { element, entry, link, table } = monosem.dom;
  const { count, digits, fixed, percent, python } = monosem.format;
  const { visible } = monosem.tokens;
  const { href } = monosem.router;

  const ROWS = [
    ['L0', 'l0', fixed],
    ['loss recovered', 'loss_recovered', percent],
    ['explained variance', 'explained_variance', percent],
    ['L1 coefficient', 'l1', digits],
  ];

  // The numbers of a set, in a line above its list.
  function strip(set) {
    const { numbers, meta, counts } = set;
    return element('dl', '', [
      entry('features', count(set.features)),
      entry('live', count(counts.live)),
      entry('low mode', count(counts.low_mode)),
      entry('rare', count(counts.rare)),
      entry('dead', count(counts.dead)),
      ...ROWS.filter(([, name]) => Number.isFinite(numbers?.[name])).map(
        ([label, name, form]) => entry(label, form(numbers[name])),
      ),
      entry(`tokens of ${meta.split}`, count(meta.tokens)),
    ]);
  }

  function scorecard({ scorecard: rows, scale }) {
    return panel(
      'Scorecard',
      'this run beside the paper’s A/1',
      [
        table(
          ['', 'the paper', 'this run', '95% interval', 'sample'],
          rows.map(({ what, paper, run, why, form, n, interval }) => [
            visible(what, 200),
            visible(python(paper, form)),
            visible(python(run, form)),
            visible((interval ?? []).map((x) => python(x, form)).join(' to ')),
            visible(why || n, 200),
          ]),
        ),
        element(
          'dl',
          '',
          Object.entries(scale ?? {}).map(([label, value]) =>
            entry(label, visible(String(value))),
          ),
        ),
      ],
      'wideblock',
    );
  }

  // A table of numbers: a column for each run, a row for each number of any
  // run.
  function byRun(title, note, runs) {
    const names = [...new Set(Object.values(runs).flatMap(Object.keys))];
    const plain = names.filter((name) =>
      Object.values(runs).some((run) => Number.isFinite(run[name])),
    );
    return panel(
      title,
      note,
      [
        table(
          ['', ...Object.keys(runs).map((run) => visible(run))],
          plain.map((name) => [
            visible(name).replaceAll('_', ' ').replace('.', ': '),
            ...Object.values(runs).map((run) =>
              Number.isInteger(run[name])
                ? count(run[name])
                : digits(run[name]),
            ),
          ]),
        ),
      ],
      'wideblock',
    );
  }

  function warnings() {
    const rows = monosem.data.sets.flatMap((set) =>
      set.warnings.map((text) =>
        element('li', '', [
          link(href(set.key), set.run),
          ` ${visible(text, 500)}`,
        ]),
      ),
    );
    const note = rows.length ? '' : 'none';
    return panel(
      'Warnings',
      note,
      [element('ul', 'warnings', rows)],
      'wideblock',
    );
  }

  // Any JSON value as nested terms.
  function tree(value) {
    if (value === null || typeof value !== 'object') {
      return [visible(String(value), 200)];
    }
    const entries = Object.entries(value);
    if (!entries.length) return ['–'];
    return [
      element(
        'dl',
        'tree',
        entries.map(([name, own]) => entry(visible(name), tree(own))),
      ),
    ];
  }

  const folded = (title, value) =>
    element('details', '', [element('summary', '', title), ...tree(value)]);

  function provenance() {
    const { provenance: known, version, sets } = monosem.data.run;
    const { splits } = known.store;
    const [{ chosen, run }] = monosem.data.shown();
    const sampling = Object.fromEntries(
      sets.map((set) => [
        set.run,
        {
          'tokens read': count(set.meta.tokens),
          split: set.meta.split,
          'token store': set.meta.manifest,
          'dead, rare, low mode, live': [
            set.counts.dead,
            set.counts.rare,
            set.counts.low_mode,
            set.counts.live,
          ]
            .map(count)
            .join(', '),
        },
      ]),
    );
    return panel(
      'Provenance',
      `monosem_jax ${version}, export ${monosem.data.build}`,
      [
        element('dl', 'numbers', [
          ...Object.entries(splits).map(([name, split]) =>
            entry(
              `documents, tokens of ${visible(name)}`,
              `${count(split.documents)}, ${count(split.tokens)}`,
            ),
          ),
          entry('token store', known.store.sha256),
          entry('tokenizer', known.store.tokenizer.sha256),
        ]),
        folded('documents by subset', known.store.subsets),
        folded('excluded documents, by reason', known.store.skipped),
        folded('tokens read, and features by class', sampling),
        folded('seeds and settings', known.config),
        folded('checksums of weights (SHA-256)', known.weights),
        element(
          'p',
          'note',
          chosen
            ? `This file holds ${count(chosen.length)} features of ${run} alone.`
            : 'To verify the files of this page, run in its folder: ' +
                'sha256sum --check checksums.txt',
        ),
      ],
      'wideblock',
    );
  }

  function pictures() {
    const nodes = monosem.data.run.pictures.map((name) => {
      const image = element('img', '');
      image.src = `pictures/${encodeURIComponent(name)}`;
      image.alt = name.replace(/\.png$/, '').replaceAll('_', ' ');
      image.loading = 'lazy';
      return element('figure', '', [
        image,
        element('figcaption', 'note', image.alt),
      ]);
    });
    return nodes.length
      ? [panel('Plots', '', [element('div', 'gallery', nodes)], 'wideblock')]
      : [];
  }

  function show(parts, query, place) {
    const { report } = monosem.data.run;
    const found = report.analysis;
    const models = Object.fromEntries(
      Object.entries(report.models ?? {}).map(([name, model]) => [name, model]),
    );
    place.replaceChildren(
      element('h2', '', 'Scorecard'),
      ...(found?.scorecard ? [scorecard(found)] : []),
      warnings(),
      ...(found?.runs
        ? [byRun('Features, neurons and controls', '', found.runs)]
        : []),
      byRun('Dictionaries', 'held-out text', report.dictionaries ?? {}),
      byRun('Transformers', 'losses in nats per token', models),
      ...pictures(),
      provenance(),
    );
  }

  return { show, strip };
})();

monosem.views.scorecard = {
  title: 'Scorecard',
  order: 70,
  there: () => true,
  show: monosem.scorecard.show,
};
