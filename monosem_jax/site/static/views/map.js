'use strict';

// The map: decoder rows of several dictionaries in two dimensions, with
// clusters. `#map/NAME?at=A1.123&colour=...&find=...&off=A0`.
monosem.views.map = (() => {
  const { card, data, palette, panel } = monosem;
  const { button, element, field, link, select } = monosem.dom;
  const { count } = monosem.format;
  const { href, keep } = monosem.router;

  const names = () =>
    data.run.views
      .filter((view) => view.startsWith('map/'))
      .map((view) => view.slice('map/'.length))
      // The small one first, which has the clusters.
      .sort((a, b) => (b === 'small') - (a === 'small'));

  // Parses 'A1.123' to a feature; null if there is no such one.
  function parse(at) {
    const [key, text] = (at ?? '').split('.');
    const number = card.number(key, text);
    return number === null ? null : { key, number };
  }

  const holds = (pack, feature) =>
    pack.meta.sets.some((n) => data.sets[n].key === feature.key);

  // The layout for an address: [name, pack].
  async function layout(name, at) {
    if (name !== undefined) return [name, await data.load(`map/${name}`)];
    for (const own of names()) {
      const pack = await data.load(`map/${own}`);
      if (!at || holds(pack, at)) return [own, pack];
    }
    throw new Error(
      `No map has ${data.set(at.key).run}: maps have dictionaries up to the` +
        ' next larger one than the main one.',
    );
  }

  // Positions for the plot, scaled so that the longer side is 1.
  function positions(pack) {
    const [width, height] = pack.meta.extent;
    const unit = 1 / (65_535 * Math.max(width, height, 1e-9));
    return Float32Array.from(
      pack.position,
      (q, i) => q * unit * (i % 2 ? height : width),
    );
  }

  async function show([name], query, place) {
    const asked = parse(query.get('at'));
    const [own, pack] = await layout(name, asked);
    const keys = pack.meta.sets.map((n) => data.sets[n].key);
    await card.load(...keys);
    const keyOf = (i) => data.sets[pack.set[i]].key;
    const choices = monosem.mapColours.choices(pack);
    const known = choices.some(([by]) => by === query.get('colour'));
    let by = known ? query.get('colour') : 'set';
    let find = query.get('find') ?? '';
    const off = new Set((query.get('off') ?? '').split(',').filter(Boolean));
    const shown = new Uint8Array(pack.set.length);
    let current = -1;
    let matches = null;

    const legend = element('div', 'legends');
    const about = element('section', 'about');
    about.setAttribute('aria-label', 'The chosen feature');
    const tally = element('span', 'note');
    tally.setAttribute('role', 'status');
    const plotted = element('div', 'plotted');
    const plot = monosem.scatter.make(plotted, {
      position: positions(pack),
      colour: monosem.mapColours.make(pack, by).colour,
      label: `Map of ${count(pack.set.length)} features.`,
      describe: (i) => card.make(keyOf(i), pack.feature[i]),
      onPick: (i) => list.mark(i >= 0 ? i : current),
      onOpen: open,
    });
    const list = monosem.mapList(pack, {
      keyOf,
      onPick: (i) => plot.point(i),
      onOpen: (i) => {
        open(i);
        plot.zoomTo(i);
      },
    });

    // Puts the state of the view into the address.
    function save() {
      const said = { colour: by };
      if (current >= 0) said.at = `${keyOf(current)}.${pack.feature[current]}`;
      if (find) said.find = find;
      if (off.size) said.off = [...off].join(',');
      keep(said);
    }

    function open(i) {
      current = i;
      const [key, number] = [keyOf(i), pack.feature[i]];
      about.replaceChildren(
        card.summary(key, number),
        element('p', 'links', [
          link(href(key, number), 'View details'),
          button('Zoom to', () => plot.zoomTo(i)),
        ]),
      );
      plot.mark(i);
      list.mark(i);
      save();
    }

    const say = (text) => about.replaceChildren(element('p', 'silent', text));

    function recolour() {
      const found = monosem.mapColours.make(pack, by);
      plot.setColour(found.colour);
      list.setColour(found.colour);
      legend.replaceChildren(found.legend);
    }

    // Determines which points are shown, and which of them match the search.
    function filter() {
      for (let i = 0; i < shown.length; i++) shown[i] = !off.has(keyOf(i));
      matches =
        monosem.search.entries(pack, find)?.filter((i) => shown[i]) ?? null;
      plot.setShown(shown);
      plot.highlight(matches);
      list.filter(shown, matches);
      const all = shown.reduce((sum, x) => sum + x, 0);
      tally.textContent = matches
        ? `${count(matches.length)} of ${count(all)} features`
        : `${count(all)} features`;
    }

    const input = element('input', '');
    input.type = 'search';
    input.value = find;
    input.placeholder = 'label, token or number';
    input.addEventListener('input', () => {
      find = input.value;
      filter();
      save();
    });
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && matches?.length) plot.zoomTo(matches);
    });
    const toggles = keys.map((key) => {
      const box = element('input', '');
      box.type = 'checkbox';
      box.checked = !off.has(key);
      box.addEventListener('change', () => {
        off[box.checked ? 'delete' : 'add'](key);
        filter();
        save();
      });
      return element('label', '', [box, ` ${data.set(key).run}`]);
    });
    const recoloured = (next) => {
      by = next;
      recolour();
      save();
    };
    const turn = (other) => monosem.router.go('map', other);
    const layouts = names().map((other) => [other, other]);
    place.classList.add('whole');
    place.append(
      element('div', 'strip', [
        field('Layout ', select(layouts, own, turn)),
        field('Colour by ', select(choices, by, recoloured)),
        element('span', 'toggles', toggles),
        field('Search ', input),
        tally,
      ]),
      element('div', 'map', [
        panel(
          'Map',
          'decoder rows in two dimensions, by UMAP: nearby features are' +
            ' similar; the axes have no unit',
          [legend, plotted],
          'mapped',
        ),
        element('aside', 'side', [about, list.node]),
      ]),
    );
    recolour();
    filter();
    const start = asked
      ? monosem.search.index(pack, asked.key, asked.number)
      : -1;
    if (start >= 0) {
      open(start);
      plot.zoomTo(start);
    } else if (asked) {
      say(
        `${card.name(asked.key, asked.number)} is not on this map, which has` +
          ' the live features of ' +
          keys.map((key) => data.set(key).run).join(', ') +
          '.',
      );
    } else {
      say('Point at a feature to see what it is; click to keep it here.');
      if (matches?.length) plot.zoomTo(matches);
    }
    const unwatch = palette.onChange(recolour);
    return () => {
      unwatch();
      plot.remove();
    };
  }

  return { title: 'Map', order: 30, there: () => names().length > 0, show };
})();
