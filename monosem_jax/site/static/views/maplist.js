'use strict';

// The list beside a map: its features in the pack's order, grouped by cluster
// as in the paper.
monosem.mapList = (pack, { keyOf, onPick, onOpen }) => {
  const { data, card } = monosem;
  const { element, link } = monosem.dom;
  const { count } = monosem.format;
  const { href } = monosem.router;
  const ROW = 26;
  // An entry is a point or, below 0, a heading: -1 for no cluster, -2 - k for
  // cluster k.
  const NONE = -1;
  const heading = (cluster) => (cluster < 0 ? NONE : -2 - cluster);
  const order = pack.order ?? Uint32Array.from(pack.set, (_, i) => i);
  const sizes = new Map();
  const leading = new Map();
  let colour = null;
  let entries = [];
  let places = new Map();

  // Each cluster's size, and how many of its features have a token as the first
  // that they fire on.
  for (const i of pack.cluster ? order : []) {
    const own = pack.cluster[i];
    sizes.set(own, (sizes.get(own) ?? 0) + 1);
    if (!leading.has(own)) leading.set(own, new Map());
    const [id] = data.row(data.set(keyOf(i)).columns.fires, pack.feature[i]);
    leading.get(own).set(id, (leading.get(own).get(id) ?? 0) + 1);
  }

  const most = (cluster) =>
    [...leading.get(cluster)]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([id]) => monosem.tokens.chip(id));

  function title(entry) {
    if (entry === NONE) return [element('span', 'heading', 'No cluster')];
    const cluster = -2 - entry;
    return [
      element('span', 'heading', `Cluster #${cluster}`),
      element('span', 'note', `${count(sizes.get(cluster))} features`),
      element('span', 'chips', most(cluster)),
    ];
  }

  function draw(place) {
    const i = entries[place];
    if (i < 0) return title(i);
    const [key, number] = [keyOf(i), pack.feature[i]];
    const bits = colour[i];
    const swatch = monosem.palette.swatch(
      `rgb(${bits & 255} ${(bits >> 8) & 255} ${(bits >> 16) & 255})`,
    );
    const name = link(href(key, number), card.name(key, number), 'name');
    name.tabIndex = -1;
    return [
      swatch,
      name,
      card.said(key, number) ?? card.chips(key, number, 'fires'),
    ];
  }

  const point = (place) => entries[place] ?? -1;
  const rows = monosem.rows.make({
    label: 'Features of the map, by cluster',
    height: ROW,
    draw,
    onPick: (place) => onPick(Math.max(point(place), -1)),
    onOpen: (place) => {
      if (point(place) >= 0) onOpen(point(place));
    },
  });

  // Lists the points that are shown or, after a search, those that were found.
  function filter(shown, found) {
    const wanted = new Uint8Array(shown.length);
    if (found) for (const i of found) wanted[i] = 1;
    else wanted.set(shown);
    entries = [];
    places = new Map();
    let last = null;
    for (const i of order) {
      if (!wanted[i]) continue;
      const own = pack.cluster ? heading(pack.cluster[i]) : null;
      if (own !== last) entries.push(own);
      last = own;
      places.set(i, entries.length);
      entries.push(i);
    }
    rows.set(entries.length);
  }

  return {
    node: rows.node,
    filter,
    setColour(next) {
      colour = next;
      rows.refresh();
    },
    // Marks a point's row; -1 for none.
    mark: (i) => rows.mark(places.get(i) ?? -1),
  };
};
