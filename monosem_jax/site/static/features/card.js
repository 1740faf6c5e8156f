'use strict';

// A feature in short, for views that mention it: its name, label and tokens.
// The columns of its set must be loaded: `await monosem.card.load('A1')`.
monosem.card = (() => {
  const { data } = monosem;
  const { element, entry, link } = monosem.dom;
  const { digits, percent } = monosem.format;
  const { href } = monosem.router;

  const load = (...keys) => Promise.all(keys.map((key) => data.columns(key)));

  const name = (key, number) => `${data.set(key).run}/${number}`;

  // Parses 'A/1/12' to ['A1', 12]; the key of an unknown run is undefined.
  function parse(text) {
    const at = text.lastIndexOf('/');
    const set = data.sets.find((one) => one.run === text.slice(0, at));
    return [set?.key, Number(text.slice(at + 1))];
  }

  // Parses a feature's number in an address; null if the set has no such one.
  function number(key, text) {
    if (!/^\d{1,9}$/.test(text ?? '')) return null;
    return Number(text) < data.set(key)?.features ? Number(text) : null;
  }

  // Its label, as a node, or null.
  function said(key, number) {
    const text = monosem.labels.text(key, number);
    if (!text) return null;
    return element('bdi', 'called', monosem.tokens.visible(text, 200));
  }

  // The different tokens of a column, `fires` or `raises`.
  const chips = (key, number, column) =>
    element(
      'span',
      'chips',
      monosem.tokens.chips(data.row(data.set(key).columns[column], number)),
    );

  // Its label, or the tokens it fires on and raises, in a line.
  function gist(key, number) {
    const label = monosem.labels.text(key, number);
    if (label) return element('bdi', 'label', monosem.tokens.visible(label));
    const { fires, raises } = data.set(key).columns;
    return element('span', 'gist', [
      ...monosem.tokens.chips(data.row(fires, number)),
      ' → ',
      ...monosem.tokens.chips(data.row(raises, number)).slice(0, 3),
    ]);
  }

  // How often it fires, as text.
  function density(key, number) {
    const { columns, meta } = data.set(key);
    const fired = columns.fired[number];
    return fired === 0 ? '0, never fires' : percent(fired / meta.tokens);
  }

  // A card whose name links to `to`, followed by the nodes `extra`. If `to` is
  // not the feature's own page, the card has a link to that, too.
  function make(key, number, { to = href(key, number), extra = [] } = {}) {
    const head = [link(to, name(key, number), 'name'), ...extra];
    if (to !== href(key, number)) {
      const page = link(href(key, number), 'page', 'page nosave');
      page.setAttribute('aria-label', `Page of ${name(key, number)}`);
      head.push(page);
    }
    return element('div', 'card', [
      element('div', 'head', head),
      ...[said(key, number)].filter(Boolean),
      chips(key, number, 'fires'),
      element('span', 'note', `density ${density(key, number)}`),
    ]);
  }

  // A longer one, for a panel.
  function summary(key, number) {
    const { max } = data.set(key).columns;
    const line = (title, column) =>
      element('p', '', [
        element('span', 'note', `${title} `),
        chips(key, number, column),
      ]);
    return element('div', 'summary', [
      element('h3', '', [link(href(key, number), name(key, number))]),
      ...[said(key, number)].filter(Boolean),
      element('dl', '', [
        entry('Density', density(key, number)),
        entry('Maximum', digits(max[number])),
      ]),
      line('Fires on', 'fires'),
      line('Raises', 'raises'),
    ]);
  }

  // Links to the other views that show a feature, by the links of its record.
  function elsewhere(record) {
    const { key, number: own, links } = record;
    const live = data.set(key).columns.state[own] === data.STATE.live;
    const any = (...kinds) => kinds.some((kind) => links[kind].length > 0);
    return [
      [live, 'map'],
      [any('parent', 'child'), 'splitting'],
      [any('twin'), 'universality'],
      [any('next', 'previous'), 'automata'],
    ]
      .filter(([shown]) => shown)
      .filter(([, view]) => monosem.views[view].there())
      .filter(([, view]) => view !== document.body.dataset.view)
      .map(([, view]) =>
        link(
          view === 'map' ? `#map?at=${key}.${own}` : href(view, key, own),
          monosem.views[view].title,
        ),
      );
  }

  return {
    ...{ chips, density, elsewhere, gist, load, make, name, number, parse },
    ...{ said, summary },
  };
})();
