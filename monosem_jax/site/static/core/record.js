'use strict';

// Reads features and contexts from shards, see shards.py.
monosem.record = (() => {
  const { load, row } = monosem.data;
  const KINDS = ['near', 'twin', 'parent', 'child', 'next', 'previous'];
  const padded = (k) => String(k).padStart(4, '0');
  const pairs = (ids, values, i) => {
    const own = row(values, i);
    return Array.from(row(ids, i), (id, n) => [id, own[n]]);
  };

  function example(pack, e, first, known) {
    const begin = pack.token_of[e];
    const end = pack.token_of[e + 1];
    const own = new Map();
    for (let token = begin; token < end; token++) {
      const effect = known.get(token - first);
      if (effect) own.set(token - begin, effect);
    }
    return {
      group: pack.group[e],
      context: pack.context[e],
      position: pack.position[e],
      own: pack.own[e],
      subset: pack.subset[e],
      ids: pack.tokens.subarray(begin, end),
      acts: pack.acts.subarray(begin, end),
      effects: own,
    };
  }

  function links(pack, i) {
    const found = Object.fromEntries(KINDS.map((kind) => [kind, []]));
    for (let n = pack.link_of[i]; n < pack.link_of[i + 1]; n++) {
      const set = monosem.data.sets[pack.link_set[n]];
      found[KINDS[pack.link_kind[n]]].push({
        key: set.key,
        feature: pack.link_feature[n],
        value: pack.link_value[n],
      });
    }
    return found;
  }

  // The index of a feature among its set's features on this page.
  function place(key, number) {
    const { chosen, run } = monosem.data.set(key);
    if (!chosen) return number;
    if (chosen.includes(number)) return chosen.indexOf(number);
    const [own] = monosem.data.shown();
    throw new Error(
      `${run}/${number} is not in this file, which has ` +
        `${own.chosen.length} features of ${own.run}.`,
    );
  }

  // All that the page shows of a feature, a promise.
  async function feature(key, number) {
    const size = monosem.data.run.shard;
    const at = place(key, number);
    const pack = await load(`${key}/${padded(Math.floor(at / size))}`);
    const i = at % size;
    const found = {
      key,
      number,
      sampled: pack.sampled[i],
      sampleMax: pack.sample_max[i],
      histogram: [...row(pack.histogram, i)],
      logitHistogram: [...row(pack.logit_histogram, i)],
      logitRange: [...row(pack.logit_range, i)],
      raised: pairs(pack.raised_ids, pack.raised, i),
      lowered: pairs(pack.lowered_ids, pack.lowered, i),
      links: links(pack, i),
      examples: [],
      aligned: [],
      neurons: [],
    };
    const known = monosem.effects.of(pack, i);
    const first = pack.token_of[pack.example_of[i]];
    for (let e = pack.example_of[i]; e < pack.example_of[i + 1]; e++) {
      found.examples.push(example(pack, e, first, known));
    }
    if (pack.aligned_ids) {
      const share = row(pack.aligned_share, i);
      found.aligned = pairs(pack.aligned_ids, pack.aligned, i).map(
        ([neuron, weight], n) => ({ neuron, weight, share: share[n] }),
      );
    }
    if (pack.neuron_ids) {
      const cosine = row(pack.neuron_cosine, i);
      found.neurons = pairs(pack.neuron_ids, pack.neuron_r, i).map(
        ([neuron, r], n) => ({ neuron, r, cosine: cosine[n] }),
      );
    }
    return found;
  }

  // A context by its number in the token store, a promise; null if the page
  // does not have it. place(position) tells a token's document.
  async function context(key, number) {
    const { number: numbers } = await load('contexts/numbers');
    let low = 0;
    for (let high = numbers.length; low < high;) {
      const middle = (low + high) >> 1;
      if (numbers[middle] < number) low = middle + 1;
      else high = middle;
    }
    if (numbers[low] !== number) return null;
    const size = monosem.data.run.contexts.shard;
    const k = padded(Math.floor(low / size));
    const i = low % size;
    const set = monosem.data.set(key);
    const [pack, extra] = await Promise.all([
      load(`contexts/${k}`),
      set.residual ? load(`${key}/residual/${k}`) : null,
    ]);
    const spans = [];
    for (let s = pack.span_of[i]; s < pack.span_of[i + 1]; s++) {
      spans.push({
        position: pack.span_position[s],
        document: pack.span_document[s],
        subset: pack.span_subset[s],
        offset: pack.span_offset[s],
      });
    }
    return {
      ids: row(pack.tokens, i),
      residual: extra ? row(extra.residual, i) : null,
      place: (position) => {
        const own = spans.findLast((span) => span.position <= position);
        return {
          subset: own.subset,
          document: own.document,
          offset: own.offset + position - own.position,
        };
      },
    };
  }

  return { context, feature };
})();
