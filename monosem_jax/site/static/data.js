'use strict';

// The data. Files under data/ are scripts that call index(), vocabulary() or
// shard(), because a page opened by double click may not fetch. What they hold
// is described in encode.py.
const monosem = {};

monosem.data = (() => {
  const data = { dictionaries: {}, tokens: [], shardSize: 0 };
  const arrived = new Map();
  const awaited = new Map();

  data.index = ({ shard, dictionaries }) => {
    data.shardSize = shard;
    data.dictionaries = dictionaries;
  };

  data.vocabulary = (tokens) => {
    data.tokens = tokens;
  };

  data.shard = (key, k, features) => {
    arrived.set(`${key}/${k}`, features);
  };

  function load(key, k) {
    return new Promise((resolve, reject) => {
      const id = `${key}/${k}`;
      const script = document.createElement('script');
      script.src = `data/${key}/${String(k).padStart(4, '0')}.js`;
      script.onload = () => resolve(arrived.get(id));
      script.onerror = () => {
        awaited.delete(id);
        reject(new Error(`${script.src} could not be loaded.`));
      };
      document.head.append(script);
    });
  }

  // The record of one feature, a promise.
  data.feature = async (key, number) => {
    const k = Math.floor(number / data.shardSize);
    const id = `${key}/${k}`;
    if (!awaited.has(id)) awaited.set(id, load(key, k));
    return (await awaited.get(id))[number % data.shardSize];
  };

  return data;
})();
