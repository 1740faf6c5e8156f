'use strict';

// Tokens and lines of tokens. A token may be anything: it is isolated from the
// direction of its neighbours, and what would not be seen is spelled out.
monosem.tokens = (() => {
  const { element } = monosem.dom;
  const { digits } = monosem.format;

  // Controls, formats (direction marks, zero-width characters), line and
  // paragraph separators, halves of surrogate pairs.
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  const SIGNS = { '\n': '↵', '\t': '⇥' };
  const LONGEST = 80;

  function sign(character) {
    if (character in SIGNS) return SIGNS[character];
    const hex = character.codePointAt(0).toString(16);
    return hex.length > 2 ? `\\u{${hex}}` : `\\x${hex.padStart(2, '0')}`;
  }

  // A token's text as it is shown.
  function visible(token) {
    const characters = [...token];
    const cut = characters.length > LONGEST;
    const kept = cut ? characters.slice(0, LONGEST).join('') : token;
    return kept.replace(UNSEEN, sign) + (cut ? '…' : '');
  }

  const text = (id) => visible(monosem.data.tokens[id] ?? `token ${id}`);

  const chip = (id) => element('bdi', 'token', text(id));

  // A line of tokens, shaded by activation relative to `max`.
  function line([context, position, own, ids, acts], max) {
    const tokens = ids.map((id, i) => {
      const node = chip(id);
      node.dataset.id = id;
      node.dataset.activation = digits(acts[i]);
      const shade = max > 0 ? Math.min(acts[i] / max, 1) : 0;
      if (shade > 0) node.style.setProperty('--shade', shade);
      // One tab stop a line; the arrows reach the other tokens.
      node.tabIndex = i === own ? 0 : -1;
      if (i === own) node.classList.add('own');
      return node;
    });
    const act = element('span', 'activation', digits(acts[own]));
    act.title = `context ${context}, position ${position}`;
    return element('li', '', [act, element('span', 'line', tokens)]);
  }

  return { chip, line, text };
})();
