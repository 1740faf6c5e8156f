'use strict';

// The data: packs, each in a script that is one call of arrived(). A page from
// a server fetches the script and cuts the pack out of it; a page that was
// opened by double click may not fetch, and runs the script.
monosem.data = (() => {
  const { AGAIN, unpack, unzipped } = monosem.pack;
  const data = { run: null, sets: [], tokens: [] };
  const packs = new Map();
  const embedded = new Map();

  // Called by data scripts, and by a page that holds its data itself.
  data.arrived = (name, text) => {
    embedded.set(name, text);
  };

  const notWhole = (name) =>
    new Error(`data/${name}.js is incomplete. ${AGAIN}`);

  // The bytes of the characters that windows-1252 decodes beyond Latin-1.
  const beyond = Uint8Array.from({ length: 32 }, (_, i) => 128 + i);
  const BYTES = new Map(
    Array.from(new TextDecoder('windows-1252').decode(beyond), (c, i) => [
      c.charCodeAt(0),
      beyond[i],
    ]),
  );

  // The bytes of a script's string, once it has run.
  function decoded(text) {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      bytes[i] = code < 256 ? code : BYTES.get(code);
    }
    return bytes;
  }

  const ESCAPED = { n: 10, r: 13, '"': 34, '\\': 92 };

  // The bytes of a script's string, from the script's text.
  function unquoted(name, script) {
    const start = `monosem.data.arrived(${JSON.stringify(name)},"`.length;
    const end = script.length - '");\n'.length;
    const quote = '"'.charCodeAt(0);
    if (script[start - 1] !== quote || script[end] !== quote) {
      throw notWhole(name);
    }
    const bytes = new Uint8Array(end - start);
    let length = 0;
    for (let i = start; i < end; i++) {
      const escaped = script[i] === ESCAPED['\\'];
      if (escaped) i++;
      bytes[length++] = escaped
        ? ESCAPED[String.fromCharCode(script[i])]
        : script[i];
    }
    return bytes.subarray(0, length);
  }

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
        `data/${name} is from another export than this page: reload the` +
          ` page. ${AGAIN}`,
      );
    }
    return found;
  }

  // Loads a pack by its name, a promise. The packs used last are kept.
  const KEPT = 96;
  data.load = (name) => {
    const known = packs.get(name) ?? read(name);
    packs.delete(name);
    packs.set(name, known);
    known.catch(() => packs.delete(name));
    if (packs.size > KEPT) packs.delete(packs.keys().next().value);
    return known;
  };

  // A row of a column that has several entries per row.
  data.row = (column, i) =>
    column.subarray(i * column.width, (i + 1) * column.width);

  // Loads what the page needs at first. Links name a set by its index in
  // data.sets.
  data.start = async () => {
    const [index, vocabulary] = await Promise.all([
      read('index'),
      read('vocabulary'),
    ]);
    if (index.build !== vocabulary.build) {
      throw new Error(
        `data/index and data/vocabulary are from different exports. ${AGAIN}`,
      );
    }
    data.build = index.build;
    data.run = index.meta;
    data.sets = index.meta.sets;
    data.tokens = vocabulary.meta;
  };

  // Values of the column `state`, see features/census.py.
  data.STATE = { dead: 0, rare: 1, low: 2, live: 3 };

  data.set = (key) => data.sets.find((set) => set.key === key);

  // The numbers of a set's features on this page: all, or those that were
  // chosen for a page in one file, see single.py.
  data.numbers = (set) => set.chosen ?? Array(set.features).keys();

  // The sets with features on this page.
  data.shown = () => data.sets.filter((set) => set.chosen?.length !== 0);

  // Loads a set's columns and keeps them in set.columns: fired, max, ...
  data.columns = async (key) => {
    const set = data.set(key);
    if (!set.columns) set.columns = await data.load(`${key}/columns`);
    return set.columns;
  };

  return data;
})();
