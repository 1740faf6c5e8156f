'use strict';

// The colours of the points of a map, and their legend.
monosem.mapColours = (() => {
  const { data, palette } = monosem;
  const { digits, percent } = monosem.format;
  const NAMES = {
    set: 'dictionary',
    cluster: 'cluster',
    density: 'density',
    max: 'maximum',
    state: 'state',
  };
  // The number of different colours; further classes repeat them. Dead features
  // have the colour of no class.
  const CLASSES = 6;
  const STATES = [
    ['dead', -1],
    ['rare', 0],
    ['low mode', 1],
    ['live', 2],
  ];

  // `of(i)` is a point's class; `names` pairs of a name and a class.
  function classes(pack, of, names) {
    const pixels = Array.from({ length: CLASSES + 1 }, (_, k) =>
      palette.pixel(palette.ofClass(k - 1)),
    );
    return {
      colour: Uint32Array.from(pack.set, (_, i) => {
        const own = of(i);
        return pixels[own < 0 ? 0 : 1 + (own % CLASSES)];
      }),
      legend: palette.legend(
        names.map(([name, own]) => [name, palette.ofClass(own)]),
      ),
    };
  }

  // `of(i)` is a point's quantity, on a logarithmic scale.
  function quantity(pack, of, title, text) {
    const values = Float64Array.from(pack.set, (_, i) => Math.log10(of(i)));
    const known = values.filter(Number.isFinite).sort();
    const low = known[0] ?? 0;
    const high = known[known.length - 1] ?? 0;
    const step = high > low ? 255 / (high - low) : 0;
    const shades = palette.shades();
    const none = palette.pixel(palette.ofClass(-1));
    return {
      colour: Uint32Array.from(values, (x) =>
        Number.isFinite(x) ? shades[Math.round((x - low) * step)] : none,
      ),
      legend: palette.scale(title, text(10 ** low), text(10 ** high)),
    };
  }

  // {colour: a pixel for each point, legend: a node}.
  function make(pack, by) {
    const { set, feature, cluster } = pack;
    const column = (name) => (i) => data.sets[set[i]].columns[name][feature[i]];
    if (by === 'cluster') {
      return classes(pack, (i) => cluster[i], [
        ['clusters (colours repeat)', 0],
        ['in no cluster', -1],
      ]);
    }
    if (by === 'state') {
      const state = column('state');
      return classes(pack, (i) => state(i) - 1, STATES);
    }
    if (by === 'density') {
      const fired = column('fired');
      const of = (i) => fired(i) / data.sets[set[i]].meta.tokens;
      return quantity(pack, of, 'Density, logarithmic:', percent);
    }
    if (by === 'max') {
      return quantity(pack, column('max'), 'Maximum, logarithmic:', digits);
    }
    const place = new Map(pack.meta.sets.map((n, k) => [n, k]));
    const names = pack.meta.sets.map((n, k) => [data.sets[n].run, k]);
    return classes(pack, (i) => place.get(set[i]), names);
  }

  // What a map can be coloured by: pairs of a value and its name.
  const choices = (pack) =>
    Object.entries(NAMES).filter(([by]) => by !== 'cluster' || pack.cluster);

  return { choices, make };
})();
