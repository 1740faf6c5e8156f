'use strict';

// Tokens and lines of tokens. A token may have any characters. So each is
// isolated from its neighbours' text direction, and invisible characters are
// spelled out.
monosem.tokens = (() => {
  const { element } = monosem.dom;

  // Controls, formats (direction marks, zero-width characters), line and
  // paragraph separators, halves of surrogate pairs, private and unassigned
  // characters.
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
  const SIGNS = { '\n': '↵', '\t': '⇥' };
  const LONGEST = 80;
  // The loss effect, in nats, that is underlined at full strength.
  const STRONG = 1;

  function sign(character) {
    if (character in SIGNS) return SIGNS[character];
    const hex = character.codePointAt(0).toString(16);
    return hex.length > 2 ? `\\u{${hex}}` : `\\x${hex.padStart(2, '0')}`;
  }

  // Any text as it is shown, cut to `longest` characters.
  function visible(text, longest = LONGEST) {
    const start = [...text.slice(0, 2 * longest + 2)];
    const cut = start.length > longest;
    const kept = cut ? start.slice(0, longest).join('') : text;
    return kept.replace(UNSEEN, sign) + (cut ? '…' : '');
  }

  const text = (id) => visible(monosem.data.tokens[id] ?? `token ${id}`);

  // What is spelled out reads from left to right, even inside Arabic.
  const SPELLED = /(\\x[0-9a-f]{2}|\\u\{[0-9a-f]+\})/;
  function token(shown) {
    if (!SPELLED.test(shown)) return element('bdi', 'token', shown);
    const parts = shown.split(SPELLED).map((part, i) => {
      const node = element(i % 2 ? 'bdi' : 'span', '', part);
      if (i % 2) node.dir = 'ltr';
      return node;
    });
    return element('bdi', 'token', parts);
  }
  const chipOf = (string) => token(visible(string));
  const chip = (id) => token(text(id));
  const chips = (ids) => Array.from(new Set(ids), chip);

  // What the tooltip shows of a token, by its element.
  const about = new WeakMap();

  // Shades a token by a share of a maximum, 0 to 1.
  function shade(node, share) {
    if (share > 0) node.style.setProperty('--shade', Math.min(share, 1));
  }

  // Underlines a token by a loss effect: blue if the feature helped, so that
  // the loss rises without it; red if it hurt.
  function underline(node, loss) {
    if (!loss) return;
    node.classList.add(loss > 0 ? 'helped' : 'hurt');
    const strength = Math.min(Math.abs(loss) / STRONG, 1);
    node.style.setProperty('--effect', 0.25 + 0.75 * strength);
  }

  // A line of tokens. `told(i)` is what the tooltip shows of token i. Token
  // `own` is marked and is the line's tab stop; arrow keys reach the others.
  function line(ids, own, told) {
    const nodes = Array.from(ids, (id, i) => {
      const node = chip(id);
      const known = told(i);
      about.set(node, { id, ...known });
      shade(node, known.share);
      underline(node, known.effect?.loss);
      node.tabIndex = i === own ? 0 : -1;
      if (i === own) node.classList.add('own');
      return node;
    });
    return element('span', 'line', nodes);
  }

  // The line of an example of a feature.
  function example(found, max, key) {
    const start = found.position - found.own;
    return line(found.ids, found.own, (i) => ({
      share: max > 0 ? found.acts[i] / max : 0,
      activation: found.acts[i],
      effect: found.effects.get(i),
      key,
      context: found.context,
      position: start + i,
    }));
  }

  return { about, chip, chipOf, chips, example, line, shade, text, visible };
})();
