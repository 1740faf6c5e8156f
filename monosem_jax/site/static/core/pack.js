'use strict';

// Packs: columns and a JSON value in one compressed file; see pack.py.
const monosem = {};

monosem.pack = (() => {
  const AGAIN = 'If it stays so, export the page again.';
  const VIEWS = {
    u1: Uint8Array,
    u2: Uint16Array,
    u4: Uint32Array,
    i4: Int32Array,
    f2: Uint16Array,
    f4: Float32Array,
  };

  async function unzipped(name, bytes) {
    try {
      const gzip = new DecompressionStream('gzip');
      const stream = new Blob([bytes]).stream().pipeThrough(gzip);
      return await new Response(stream).arrayBuffer();
    } catch {
      throw new Error(`data/${name} is cut short or altered. ${AGAIN}`);
    }
  }

  // The value of a float16 with these bits.
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

  // A pack as an object: its build and JSON value (`meta`), and its columns as
  // typed arrays by name.
  function unpack(buffer) {
    const start = 4 + new DataView(buffer).getUint32(0, true);
    const text = new TextDecoder().decode(new Uint8Array(buffer, 4, start - 4));
    const { build, meta, columns } = JSON.parse(text);
    const pack = { build, meta };
    for (const [own, [dtype, shape, at]] of Object.entries(columns)) {
      const length = shape.reduce((product, n) => product * n, 1);
      pack[own] = column(buffer, dtype, length, start + at);
      pack[own].width = shape.slice(1).reduce((p, n) => p * n, 1);
    }
    return pack;
  }

  return { AGAIN, unpack, unzipped };
})();
