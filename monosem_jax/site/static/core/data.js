'use strict';

// The data: packs, each in a script that calls arrived(). It is fetched, and
// taken apart; a page that was opened by double click may not fetch, and runs
// it.
monosem.data = (() => {
  const { decoded, notWhole, unpack, unquoted, unzipped } = monosem.pack;
  const data = { run: null, sets: [], tokens: [] };
  const packs = new Map();
  const embedded = new Map();

  // Called by data scripts, and by a page that holds its data itself.
  data.arrived = (name, text) => {
    embedded.set(name, text);
  };

  function fromScript(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.charset = 'windows-1252';
      script.src = `data/${name}.js`;
      script.onload = () => {
        script.remove();
        if (embedded.has(name)) resolve(decoded(embedded.get(name)));
        else reject(notWhole(name));
        embedded.delete(name);
      };
      script.onerror = () => {
        script.remove();
        reject(new Error(`data/${name}.js could not be loaded.`));
      };
      document.head.append(script);
    });
  }

  async function fromServer(name) {
    const answer = await fetch(`data/${name}.js`).catch(() => null);
    if (!answer?.ok) throw new Error(`data/${name}.js could not be loaded.`);
    return unquoted(name, new Uint8Array(await answer.arrayBuffer()));
  }

  function bytesOf(name) {
    if (embedded.has(name)) return decoded(embedded.get(name));
    return location.protocol === 'file:' ? fromScript(name) : fromServer(name);
  }

  async function read(name) {
    const found = unpack(await unzipped(name, await bytesOf(name)));
    if (data.run && found.build !== data.build) {
      throw new Error(
        `data/${name} is of another export than this page: reload it, or make` +
          ' it again.',
      );
    }
    return found;
  }

  // A pack by its name, a promise; the last ones are kept.
  const KEPT = 96;
  data.load = (name) => {
    const known = packs.get(name) ?? read(name);
    packs.delete(name);
    packs.set(name, known);
    known.catch(() => packs.delete(name));
    if (packs.size > KEPT) packs.delete(packs.keys().next().value);
    return known;
  };

  // A row of a column of several entries a row.
  data.row = (column, i) =>
    column.subarray(i * column.width, (i + 1) * column.width);

  // The run: what the index says, with each set's columns when they are asked
  // for. data.sets[n] is the set that links name by number n.
  data.start = async () => {
    const [index, vocabulary] = await Promise.all([
      read('index'),
      read('vocabulary'),
    ]);
    if (index.build !== vocabulary.build) {
      throw new Error(
        'data/index and data/vocabulary are of two exports: make the page' +
          ' again.',
      );
    }
    data.build = index.build;
    data.run = index.meta;
    data.sets = index.meta.sets;
    data.tokens = vocabulary.meta;
  };

  // Where a feature stands: `state` of the columns, as features/census.py.
  data.STATE = { dead: 0, rare: 1, low: 2, live: 3 };

  data.set = (key) => data.sets.find((set) => set.key === key);

  // The numbers of the features of a set that are on the page: all, or, in a
  // page of one file, those that were chosen for it, see single.py.
  data.numbers = (set) => set.chosen ?? Array(set.features).keys();

  // The sets that have any.
  data.shown = () => data.sets.filter((set) => set.chosen?.length !== 0);

  // The columns of a set, which then stay: set.fired, set.max, ...
  data.columns = async (key) => {
    const set = data.set(key);
    if (!set.columns) set.columns = await data.load(`${key}/columns`);
    return set.columns;
  };

  return data;
})();
