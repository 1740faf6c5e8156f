'use strict';

// A feature in the format in which Anthropic published run A/1, field for
// field. interop/anthropic.py writes the same format and explains each field.
// Changed logits are exact to 2% here, see effects.py.
monosem.published = (() => {
  const { button } = monosem.dom;
  const SIDE = 4; // tokens on each side of an example's own
  const SHOWN = 5; // changed logits each way

  const digits = (x) => Number(x.toPrecision(4));
  const word = (id) => monosem.data.tokens[id];
  const nothing = Array.from({ length: SHOWN }, (_, id) => [id, 0]);
  const edges = (left, right, bins) =>
    Array.from({ length: bins + 1 }, (_, i) =>
      digits(left + ((right - left) * i) / bins),
    );

  // For each n, pick(the n-th most changed logit) of every token.
  const lists = (changes, pick) =>
    Array.from({ length: SHOWN }, (_, n) =>
      changes.map((pairs) => pick(pairs[n] ?? nothing[n])),
    );

  const isNeurons = (set) => set.key === `${set.meta.model}_neurons`;

  // Whether all fields are known. Neurons leave no residual unexplained, so
  // they need no residual losses.
  const there = (set, record) =>
    set.columns.fired[record.number] > 0 &&
    set.effects &&
    (set.residual || isNeurons(set));

  // The neurons with a feature's largest coefficients. A neuron has itself,
  // then the first ones, as the published format has three.
  function aligned(set, record) {
    if (!isNeurons(set)) return record.aligned;
    const others = [0, 1, 2].filter((neuron) => neuron !== record.number);
    return [
      { neuron: record.number, weight: 1, share: 1 },
      ...others.map((neuron) => ({ neuron, weight: 0, share: 0 })),
    ].slice(0, 3);
  }

  async function example(set, found, seen) {
    const from = Math.max(found.own - SIDE, 0);
    const to = Math.min(found.own + SIDE + 1, found.ids.length);
    const places = Array.from({ length: to - from }, (_, i) => from + i);
    const effects = places.map((i) => found.effects.get(i));
    const raised = effects.map((effect) => effect?.raised ?? nothing);
    const lowered = effects.map((effect) => effect?.lowered ?? nothing);
    const start = found.position - found.own;
    const context = set.residual
      ? await monosem.record.context(set.key, found.context)
      : null;
    // null if the page does not have the context. The first token of a context
    // is not predicted, so its loss does not change.
    const residual = (i) => {
      if (!set.residual || start + i === 0) return 0;
      const loss = context?.residual[start + i];
      return Number.isFinite(loss) ? digits(loss) : null;
    };
    const datapoint = found.context * monosem.data.run.context + found.position;
    const repeated = Number(seen.has(datapoint));
    seen.add(datapoint);
    return {
      tokens_str_list: places.map((i) => word(found.ids[i])),
      tokens_acts_list: places.map((i) => digits(found.acts[i])),
      train_token_ind: found.own - from,
      is_repeated_datapoint: repeated,
      datapoint_ind: datapoint,
      ablations: {
        loss_ablation: effects.map((effect) => digits(effect?.loss ?? 0)),
        top_logit_ablation_tokens_str: lists(raised, ([id]) => word(id)),
        bottom_logit_ablation_tokens_str: lists(lowered, ([id]) => word(id)),
        top_logit_ablation_values: lists(raised, ([, x]) => digits(x)),
        bottom_logit_ablation_values: lists(lowered, ([, x]) => digits(x)),
        residual_loss_ablation: places.map(residual),
      },
    };
  }

  async function group(set, record, index, seen) {
    const own = record.examples
      .filter((found) => found.group === index)
      .sort((a, b) => b.acts[b.own] - a.acts[a.own]);
    const examples = [];
    for (const found of own) examples.push(await example(set, found, seen));
    return {
      quantile_name: set.groups[index].name,
      quantile_max_act: own.length ? digits(own[0].acts[own[0].own]) : 0,
      examples,
    };
  }

  // The published fields of a feature, a promise.
  async function feature(set, record) {
    const { fired, max } = await monosem.data.columns(set.key);
    const seen = new Set();
    const groups = [];
    for (let g = 0; g < set.groups.length; g++) {
      groups.push(await group(set, record, g, seen));
    }
    // A feature that fired too rarely to have intervals has only top examples.
    const level = (found, g) => set.groups[g].fraction !== undefined;
    const there = ({ examples }) => examples.length > 0;
    const whole = groups.some((found, g) => level(found, g) && there(found));
    const bins = record.histogram.length;
    const named = ([id, weight]) => [word(id), digits(weight)];
    const neurons = aligned(set, record);
    return {
      index: record.number,
      act_buckets: record.histogram,
      act_bucket_edges: edges(0, record.sampleMax, bins),
      logit_buckets: record.logitHistogram,
      logit_bucket_edges: edges(...record.logitRange, bins),
      examples_quantiles: groups.filter(there).slice(0, whole ? undefined : 1),
      statistics: {
        density_frac: digits(fired[record.number] / set.meta.tokens),
        global_max_act: digits(max[record.number]),
        abs_max_neuron_weights: neurons.map((x) => digits(x.weight)),
        abs_max_neuron_inds: neurons.map((x) => x.neuron),
        l1_max_neuron_weights: neurons.map((x) => digits(x.share)),
      },
      logit_effects: {
        negatives: [...record.lowered].reverse().map(named),
        positives: record.raised.map(named),
      },
    };
  }

  // The button that saves a feature in that format, if it has all of it.
  function buttons(set, record) {
    if (!there(set, record)) return [];
    const name = `${set.run.replaceAll('/', '-')}-${record.number}.json`;
    const write = async () => {
      const text = JSON.stringify(await feature(set, record));
      monosem.save.file(name, new Blob([text], { type: 'application/json' }));
    };
    return [button('JSON', write, 'in the paper’s published format')];
  }

  return { buttons, feature };
})();
