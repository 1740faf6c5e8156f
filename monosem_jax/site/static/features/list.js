'use strict';

// The list of a set's features: ordered, filtered, searched. Only the rows in
// view exist, so that 100,000 features scroll as well as 100.
monosem.list = (() => {
  const { element, button, field, select } = monosem.dom;
  const { count, digits, density } = monosem.format;
  const { chips, visible } = monosem.tokens;

  const ROW = 28;
  const ORDERS = [
    ['max', 'maximum'],
    ['density', 'density'],
    ['score', 'score'],
    ['index', 'index'],
    ['random', 'random'],
  ];
  const STATES = [
    ['all', 'all'],
    ['live', 'live'],
    ['low', 'low mode'],
    ['rare', 'rare'],
    ['dead', 'dead'],
  ];
  const { STATE } = monosem.data;
  const WHERE = [
    ['any', 'label or token'],
    ['label', 'label'],
    ['fires', 'fires on'],
    ['raises', 'raises'],
  ];
  // The address has only what differs from this.
  const DEFAULT = {
    ...{
      sort: 'max',
      up: '',
      only: 'all',
      q: '',
      in: 'any',
      regex: '',
      seed: '1',
    },
  };

  // A pseudorandom number for each feature, the same every time.
  function scatter(i, seed) {
    let x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
    return (x ^ (x >>> 15)) >>> 0;
  }

  // The values that features are ordered by; null for their numbers.
  function keys(set, { sort, seed }) {
    const each = (f) => Float64Array.from({ length: set.features }, f);
    return {
      max: () => set.columns.max,
      density: () => set.columns.fired,
      index: () => null,
      random: () => each((_, i) => scatter(i, Number(seed))),
      score: () =>
        each((_, i) => monosem.labels.score(set.key, i) ?? -Infinity),
    }[sort]();
  }

  function sorted(set, wanted) {
    const order = Uint32Array.from(monosem.data.numbers(set));
    const values = keys(set, wanted);
    const sign = wanted.up ? 1 : -1;
    if (values) {
      // Infinity - Infinity is NaN, which counts as no difference.
      return order.sort((a, b) => sign * (values[a] - values[b]) || a - b);
    }
    return wanted.up ? order.reverse() : order;
  }

  function chosen(set, wanted, order) {
    const { q, regex } = wanted;
    const found = monosem.search.of(set.key, { q, regex, where: wanted.in });
    const only = STATE[wanted.only];
    const { state } = set.columns;
    return order.filter(
      (i) => (only === undefined || state[i] === only) && (!found || found[i]),
    );
  }

  // Makes the list of a set, whose columns must be loaded, in the element
  // `place`. `query` is that of the address. `open(i)` is called with a feature
  // that the reader opens, `changed(query)` when the list is sorted or
  // searched.
  function make(place, set, query, { open, changed }) {
    const wanted = { ...DEFAULT };
    for (const name of Object.keys(DEFAULT)) {
      if (query.has(name)) wanted[name] = query.get(name);
    }
    if (!ORDERS.some(([name]) => name === wanted.sort)) wanted.sort = 'max';
    let order = new Uint32Array();
    let whole = { by: '' }; // all features, as they were sorted last
    let selected = null;

    const rows = monosem.rows.make({
      label: `Features of ${set.run}`,
      height: ROW,
      draw: row,
      faint: (place) => set.columns.state[order[place]] !== STATE.live,
      onOpen: (place) => open(order[place]),
    });
    const status = element('p', 'note');
    status.setAttribute('role', 'status');

    const input = document.createElement('input');
    input.type = 'search';
    input.value = wanted.q;
    input.placeholder = 'search ( / )';
    input.setAttribute('aria-label', 'Search features');
    const regex = document.createElement('input');
    regex.type = 'checkbox';
    regex.checked = Boolean(wanted.regex);
    const turn = button('↓', () => {
      wanted.up = wanted.up ? '' : '1';
      apply();
    });

    function row(place) {
      const i = order[place];
      const { fired, max, state, fires, raises } = set.columns;
      const label = monosem.labels.text(set.key, i);
      const dead = state[i] === STATE.dead;
      const shown = monosem.data.row(dead ? raises : fires, i);
      return [
        element('span', 'number', String(i)),
        element(
          'span',
          'number',
          dead ? 'dead' : density(fired[i] / set.meta.tokens),
        ),
        element('span', 'number', dead ? '–' : digits(max[i])),
        element(
          'span',
          'what',
          label ? [element('bdi', 'label', visible(label))] : chips(shown),
        ),
      ];
    }

    const mark = () => rows.mark(order.indexOf(selected));

    function apply() {
      status.classList.remove('wrong');
      try {
        const by = `${wanted.sort} ${wanted.up} ${wanted.seed}`;
        // Labels, and so scores, may have changed since.
        if (by !== whole.by || wanted.sort === 'score') {
          whole = { by, order: sorted(set, wanted) };
        }
        order = chosen(set, wanted, whole.order);
        status.textContent =
          order.length === set.features
            ? `${count(set.features)} features`
            : `${count(order.length)} of ${count(set.features)} features`;
      } catch (error) {
        // The pattern may be half typed.
        status.textContent = error.message;
        status.classList.add('wrong');
        return;
      }
      turn.textContent = wanted.up ? '↑' : '↓';
      turn.title = wanted.up ? 'rising; reverse' : 'falling; reverse';
      turn.setAttribute('aria-label', turn.title);
      const differing = Object.entries(wanted).filter(
        ([name, value]) => value !== DEFAULT[name],
      );
      changed(Object.fromEntries(differing));
      rows.set(order.length);
      mark();
    }

    const set_ = (name) => (value) => {
      wanted[name] = value;
      apply();
    };
    let typed = null;
    input.addEventListener('input', () => {
      clearTimeout(typed);
      typed = setTimeout(() => set_('q')(input.value), 120);
    });
    regex.addEventListener('change', () =>
      set_('regex')(regex.checked ? '1' : ''),
    );

    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && order.length) open(order[0]);
      if (event.key === 'ArrowDown') rows.node.focus();
    });

    place.replaceChildren(
      element('div', 'search', [input, field('regex', regex)]),
      element('div', 'order', [
        field('in ', select(WHERE, wanted.in, set_('in'))),
        field('only ', select(STATES, wanted.only, set_('only'))),
        field(
          'by ',
          select(ORDERS, wanted.sort, (name) => {
            // Choosing random again shuffles again.
            if (name === 'random')
              wanted.seed = String(Number(wanted.seed) + 1);
            wanted.up = name === 'index' ? '' : wanted.up;
            set_('sort')(name);
          }),
        ),
        turn,
      ]),
      element('div', 'heading', [
        element('span', 'number', 'No.'),
        element('span', 'number', 'density'),
        element('span', 'number', 'max'),
        element('span', '', 'label, or what it fires on'),
      ]),
      rows.node,
      status,
    );
    apply();

    return {
      // Marks the feature that is shown.
      select: (i) => {
        selected = i;
        mark();
      },
      // Opens the one before it in the list (-1) or after it (1).
      step: (by) => {
        const place = Math.max(order.indexOf(selected), 0) + by;
        if (order[place] === undefined) return;
        // At once, since the next key may come before the address changes.
        selected = order[place];
        open(selected);
      },
      redraw: rows.refresh,
      first: () => order[0],
      focusSearch: () => input.focus(),
      focus: () => rows.node.focus(),
      close: rows.close,
    };
  }

  return { make };
})();
