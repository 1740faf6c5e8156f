'use strict';

// The list of a set's features: ordered, filtered, searched. Only the rows in
// view exist, so that 100,000 features scroll as well as 100.
monosem.list = (() => {
  const { element, button, field, select } = monosem.dom;
  const { count, digits, density } = monosem.format;
  const { chips, text, visible } = monosem.tokens;

  const ROW = 28;
  const OVERSCAN = 8;
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
    ['ultralow', 'ultralow'],
    ['dead', 'dead'],
  ];
  const STATE = { dead: 0, ultralow: 1, live: 2 };
  const WHERE = [
    ['any', 'label or token'],
    ['label', 'label'],
    ['fires', 'fires on'],
    ['raises', 'raises'],
  ];
  // What the address says of the list, where it is not this.
  const DEFAULT = {
    ...{ sort: 'max', up: '', only: 'all', q: '', in: 'any', regex: '', seed: '1' },
  };

  // A number for each feature that looks random and is the same every time.
  function scatter(i, seed) {
    let x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
    return (x ^ (x >>> 15)) >>> 0;
  }

  // Whether a string is found, by what is written in the search field.
  function matcher({ q, regex }) {
    if (!regex) {
      const lower = q.toLowerCase();
      return (string) => string.toLowerCase().includes(lower);
    }
    const pattern = new RegExp(q, 'u');
    return (string) => pattern.test(string);
  }

  // Which features a search finds, a Uint8Array; null for all. Tokens are
  // searched once, however many features have them.
  function search(set, wanted) {
    if (!wanted.q) return null;
    const { columns } = set;
    const matches = matcher(wanted);
    const hits = Uint8Array.from(monosem.data.tokens, (token) =>
      matches(token) ? 1 : 0,
    );
    const found = new Uint8Array(set.features);
    for (const name of ['fires', 'raises']) {
      if (wanted.in !== 'any' && wanted.in !== name) continue;
      const column = columns[name];
      for (let i = 0; i < column.length; i++) {
        if (hits[column[i]]) found[Math.floor(i / column.width)] = 1;
      }
    }
    if (wanted.in === 'any' || wanted.in === 'label') {
      for (const [i, label] of monosem.labels.all(set.key)) {
        if (matches(label)) found[i] = 1;
      }
    }
    return found;
  }

  // What features are ordered by; null: their numbers.
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
    const order = Uint32Array.from({ length: set.features }, (_, i) => i);
    const values = keys(set, wanted);
    const sign = wanted.up ? 1 : -1;
    if (values) {
      // Infinity less itself is no number, and no difference either.
      return order.sort((a, b) => sign * (values[a] - values[b]) || a - b);
    }
    return wanted.up ? order.reverse() : order;
  }

  function chosen(set, wanted, order) {
    const found = search(set, wanted);
    const only = STATE[wanted.only];
    const { state } = set.columns;
    return order.filter(
      (i) =>
        (only === undefined || state[i] === only) && (!found || found[i]),
    );
  }

  // A list of a set, whose columns are there, in the element `place`.
  // `query` is the address's, `open(i)` is called with a feature that is
  // chosen, `changed(query)` when the list is ordered or searched anew.
  function make(place, set, query, { open, changed }) {
    const wanted = { ...DEFAULT };
    for (const name of Object.keys(DEFAULT)) {
      if (query.has(name)) wanted[name] = query.get(name);
    }
    if (!ORDERS.some(([name]) => name === wanted.sort)) wanted.sort = 'max';
    let order = new Uint32Array();
    let whole = { by: '' }; // all features in the order wanted last
    let cursor = 0;
    let selected = null;

    const view = element('div', 'rows');
    view.tabIndex = 0;
    view.setAttribute('role', 'listbox');
    view.setAttribute('aria-label', `Features of ${set.run}`);
    const rows = element('div', 'sheet');
    rows.setAttribute('role', 'presentation');
    view.append(rows);
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

    function row(at) {
      const i = order[at];
      const { fired, max, state, fires, raises } = set.columns;
      const label = monosem.labels.text(set.key, i);
      const dead = state[i] === 0;
      const what = label
        ? [element('bdi', 'label', visible(label))]
        : dead
          ? chips(monosem.data.row(raises, i))
          : chips(monosem.data.row(fires, i));
      const node = element('div', 'row', [
        element('span', 'number', String(i)),
        element(
          'span',
          'number',
          dead ? 'dead' : density(fired[i] / set.meta.tokens),
        ),
        element('span', 'number', dead ? '–' : digits(max[i])),
        element('span', 'what', what),
      ]);
      node.id = `row-${i}`;
      node.setAttribute('role', 'option');
      node.setAttribute('aria-selected', String(i === selected));
      node.setAttribute('aria-setsize', order.length);
      node.setAttribute('aria-posinset', at + 1);
      node.classList.toggle('faint', state[i] !== 2);
      node.classList.toggle('cursor', at === cursor);
      node.style.top = `${at * ROW}px`;
      node.addEventListener('click', () => {
        cursor = at;
        open(i);
      });
      return node;
    }

    function draw() {
      const first = Math.floor(view.scrollTop / ROW) - OVERSCAN;
      const last = Math.ceil((view.scrollTop + view.clientHeight) / ROW);
      const shown = [];
      for (let at = Math.max(first, 0); at < last + OVERSCAN; at++) {
        if (at < order.length) shown.push(row(at));
      }
      rows.style.height = `${order.length * ROW}px`;
      rows.replaceChildren(...shown);
      if (order.length) {
        view.setAttribute('aria-activedescendant', `row-${order[cursor]}`);
      } else view.removeAttribute('aria-activedescendant');
    }

    function moveTo(at) {
      cursor = Math.max(0, Math.min(at, order.length - 1));
      const top = cursor * ROW;
      const lowest = top + ROW - view.clientHeight;
      view.scrollTop = Math.max(lowest, Math.min(view.scrollTop, top));
      draw();
    }

    function apply() {
      status.classList.remove('wrong');
      try {
        const by = `${wanted.sort} ${wanted.up} ${wanted.seed}`;
        // Labels, and with them scores, may have changed since.
        if (by !== whole.by || wanted.sort === 'score') {
          whole = { by, order: sorted(set, wanted) };
        }
        order = chosen(set, wanted, whole.order);
        status.textContent =
          order.length === set.features
            ? `${count(set.features)} features`
            : `${count(order.length)} of ${count(set.features)} features`;
      } catch (error) {
        // A pattern that is half typed.
        status.textContent = error.message;
        status.classList.add('wrong');
        return;
      }
      turn.textContent = wanted.up ? '↑' : '↓';
      turn.title = wanted.up ? 'rising; turn round' : 'falling; turn round';
      turn.setAttribute('aria-label', turn.title);
      const differing = Object.entries(wanted).filter(
        ([name, value]) => value !== DEFAULT[name],
      );
      changed(Object.fromEntries(differing));
      moveTo(Math.max(order.indexOf(selected), 0));
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
    regex.addEventListener('change', () => set_('regex')(regex.checked ? '1' : ''));

    function press(event) {
      const to = {
        ArrowDown: cursor + 1,
        ArrowUp: cursor - 1,
        PageDown: cursor + Math.floor(view.clientHeight / ROW),
        PageUp: cursor - Math.floor(view.clientHeight / ROW),
        Home: 0,
        End: order.length - 1,
      }[event.key];
      if (to !== undefined) moveTo(to);
      else if (event.key === 'Enter' && order.length) open(order[cursor]);
      else return;
      event.preventDefault();
    }
    view.addEventListener('keydown', press);
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && order.length) open(order[cursor]);
      if (event.key === 'ArrowDown') view.focus();
    });
    view.addEventListener('scroll', draw, { passive: true });
    const resized = new ResizeObserver(draw);
    resized.observe(view);

    place.replaceChildren(
      element('div', 'search', [input, field('regex', regex)]),
      element('div', 'order', [
        field('in ', select(WHERE, wanted.in, set_('in'))),
        field('only ', select(STATES, wanted.only, set_('only'))),
        field(
          'by ',
          select(ORDERS, wanted.sort, (name) => {
            // Random again is another order.
            if (name === 'random') wanted.seed = String(Number(wanted.seed) + 1);
            wanted.up = name === 'index' ? '' : wanted.up;
            set_('sort')(name);
          }),
        ),
        turn,
      ]),
      element('div', 'row heading', [
        element('span', 'number', 'No.'),
        element('span', 'number', 'density'),
        element('span', 'number', 'max'),
        element('span', '', 'label, or what it fires on'),
      ]),
      view,
      status,
    );
    apply();

    return {
      // Marks a feature as the one on show.
      select: (i) => {
        selected = i;
        const at = order.indexOf(i);
        if (at >= 0) moveTo(at);
        else draw();
      },
      // Opens the one before it in the list (-1) or behind it (1).
      step: (by) => {
        const at = Math.max(order.indexOf(selected), 0) + by;
        if (order[at] !== undefined) open(order[at]);
      },
      redraw: draw,
      first: () => order[0],
      focusSearch: () => input.focus(),
      focus: () => view.focus(),
      close: () => resized.disconnect(),
    };
  }

  return { make, text };
})();
