'use strict';

// The data: packs, see pack.py. They are fetched; a page that was opened by
// double click may not fetch, and loads them as scripts, which call arrived().
const monosem = {};

monosem.data = (() => {
  const data = { run: null, sets: [], tokens: [] };
  const packs = new Map();
  const embedded = new Map();
  const ENDED = 'It is cut short or altered: make the page again.';
  const VIEWS = {
    u1: Uint8Array,
    u2: Uint16Array,
    u4: Uint32Array,
    i4: Int32Array,
    f2: Uint16Array,
    f4: Float32Array,
  };

  // Called by data scripts, and by a page that holds its data itself.
  data.arrived = (name, base64) => {
    embedded.set(name, base64);
  };

  function decoded(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  function fromScript(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = `data/${name}.js`;
      script.onload = () => {
        script.remove();
        if (embedded.has(name)) resolve(decoded(embedded.get(name)));
        else reject(new Error(`data/${name}.js is not whole. ${ENDED}`));
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
    const answer = await fetch(`data/${name}.bin`).catch(() => null);
    if (!answer?.ok) throw new Error(`data/${name}.bin could not be loaded.`);
    return answer.arrayBuffer();
  }

  function bytesOf(name) {
    if (embedded.has(name)) return decoded(embedded.get(name));
    return location.protocol === 'file:' ? fromScript(name) : fromServer(name);
  }

  async function unzipped(name, bytes) {
    try {
      const gzip = new DecompressionStream('gzip');
      const stream = new Blob([bytes]).stream().pipeThrough(gzip);
      return await new Response(stream).arrayBuffer();
    } catch {
      throw new Error(`data/${name} cannot be read. ${ENDED}`);
    }
  }

  // The number that the bits of a float16 say.
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  const HALVES = Float32Array.from({ length: 65_536 }, (_, bits) => half(bits));

  // A column as a typed array; see pack.py on the order of its bytes.
  function column(buffer, dtype, length, at) {
    if (dtype === 'u2') return new Uint16Array(buffer, at, length);
    const width = Number(dtype[1]);
    const planes = new Uint8Array(buffer, at, length * width);
    const bytes = new Uint8Array(length * width);
    for (let b = 0; b < width; b++) {
      for (let i = 0; i < length; i++) {
        bytes[i * width + b] = planes[b * length + i];
      }
    }
    const found = new VIEWS[dtype](bytes.buffer);
    if (dtype !== 'f2') return found;
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = HALVES[found[i]];
    return values;
  }

  // Columns become typed arrays: pack.tokens; pack.meta is the JSON value.
  function unpack(name, buffer) {
    const start = 4 + new DataView(buffer).getUint32(0, true);
    const text = new TextDecoder().decode(new Uint8Array(buffer, 4, start - 4));
    const { build, meta, columns } = JSON.parse(text);
    if (data.run && build !== data.build) {
      throw new Error(
        `data/${name} is of another export than this page: reload it, or make` +
          ' it again.',
      );
    }
    const pack = { build, meta };
    for (const [own, [dtype, shape, at]] of Object.entries(columns)) {
      const length = shape.reduce((product, n) => product * n, 1);
      pack[own] = column(buffer, dtype, length, start + at);
      pack[own].width = shape.slice(1).reduce((p, n) => p * n, 1);
    }
    return pack;
  }

  async function read(name) {
    return unpack(name, await unzipped(name, await bytesOf(name)));
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
