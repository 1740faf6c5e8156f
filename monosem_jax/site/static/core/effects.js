'use strict';

// Reads the effects of ablating a feature from a shard, see effects.py.
monosem.effects = (() => {
  const OCTAVE = 16;
  const NOTHING = 255;

  // The changed logits of effect m of a shard, which belongs to feature i.
  function changes(pack, side, i, m) {
    const column = (name) => pack[`effect_${side}_${name}`];
    const places = column('place');
    const steps = column('steps');
    const most = (side === 'raised' ? 1 : -1) * column('most')[i];
    const first = column('of')[i];
    let down = 0;
    const found = [];
    for (let at = m; at < steps.length; at += steps.width) {
      down += steps[at];
      const value = down < NOTHING ? most * 2 ** (-down / OCTAVE) : 0;
      found.push([column('ids')[first + places[at]], value]);
    }
    return found;
  }

  // The effects of feature i, by the numbers of the example tokens they are on.
  function of(pack, i) {
    const found = new Map();
    if (!pack.effect_of) return found;
    let token = 0;
    for (let m = pack.effect_of[i]; m < pack.effect_of[i + 1]; m++) {
      token += pack.effect_gap[m];
      found.set(token, {
        loss: pack.effect_loss[m],
        // Decoded on access: there are many, and few are shown.
        get raised() {
          return changes(pack, 'raised', i, m);
        },
        get lowered() {
          return changes(pack, 'lowered', i, m);
        },
      });
    }
    return found;
  }

  return { of };
})();
