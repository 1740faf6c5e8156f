'use strict';

// The tooltip of the token under the pointer, or with the keyboard's focus.
(() => {
  const { byId, element, entry } = monosem.dom;
  const { count, digits, signed } = monosem.format;
  const { chip, text } = monosem.tokens;
  const tooltip = byId('tooltip');
  const GAP = 6;
  let shown = null;

  const changes = (title, pairs) =>
    element('div', 'changes', [
      element('span', '', title),
      ...pairs
        .filter(([, value]) => value)
        .map(([id, value]) =>
          element('span', '', [chip(id), ` ${signed(value)}`]),
        ),
    ]);

  function content(node, known) {
    const { id, activation, effect, key, position } = known;
    const rows = [
      ...(activation === undefined
        ? []
        : [entry('activation', digits(activation))]),
      ...(known.rows ?? []).map(([label, value]) => entry(label, value)),
      ...(effect
        ? [entry('loss without the feature', `${signed(effect.loss)} nats`)]
        : []),
    ];
    if (key !== undefined) {
      const place = entry('position', `${position}`);
      const residual = entry('loss without the residual', '…');
      const subset = entry('from', '…');
      rows.push(residual, subset, place);
      fillIn(node, known, residual, subset);
    }
    return [
      element('div', 'head', [
        element('bdi', 'token', text(id)),
        ` id ${count(id)}`,
      ]),
      element('dl', '', rows),
      ...(effect
        ? [
            changes('raised without it', effect.raised),
            changes('lowered without it', effect.lowered),
          ]
        : []),
    ];
  }

  // Fills in what has to be loaded: the shard of the token's context.
  async function fillIn(node, { key, context, position }, residual, subset) {
    const say = (row, value) => {
      row.lastChild.textContent = value;
    };
    try {
      const found = await monosem.record.context(key, context);
      const loss = found?.residual?.[position];
      say(
        residual,
        Number.isFinite(loss) ? `${signed(loss)} nats` : 'not measured',
      );
      if (!found) {
        say(subset, `context ${count(context)}`);
        return;
      }
      const place = found.place(position);
      const name = monosem.data.run.subsets[place.subset] ?? '';
      say(
        subset,
        `${monosem.tokens.visible(name)}, document ${count(place.document)}, ` +
          `token ${count(place.offset)} of it`,
      );
    } catch (error) {
      say(residual, '–');
      say(subset, error.message);
    }
    if (shown === node) put(node);
  }

  function put(node) {
    const at = node.getBoundingClientRect();
    const right = document.documentElement.clientWidth - tooltip.offsetWidth;
    const above = at.top - tooltip.offsetHeight - GAP;
    tooltip.style.left = `${Math.max(0, Math.min(at.left, right - GAP))}px`;
    tooltip.style.top = `${above > 0 ? above : at.bottom + GAP}px`;
  }

  function show(event) {
    const node = event.target.closest?.('.token');
    const known = node && monosem.tokens.about.get(node);
    if (!known) {
      if (event.type === 'pointerover') hide();
      return;
    }
    if (shown === node) return;
    shown?.removeAttribute('aria-describedby');
    shown = node;
    tooltip.replaceChildren(...content(node, known));
    tooltip.hidden = false;
    node.setAttribute('aria-describedby', 'tooltip');
    put(node);
    node.dispatchEvent(
      new CustomEvent('token', { bubbles: true, detail: known }),
    );
  }

  function hide() {
    shown?.removeAttribute('aria-describedby');
    shown = null;
    tooltip.hidden = true;
  }

  function walk(event) {
    const token = event.target.closest?.('.line .token');
    const next = {
      ArrowLeft: token?.previousElementSibling,
      ArrowRight: token?.nextElementSibling,
    }[event.key];
    if (event.key === 'Escape') hide();
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  document.addEventListener('pointerover', show);
  document.addEventListener('focusin', show);
  document.addEventListener('focusout', hide);
  document.addEventListener('keydown', walk);
  document.addEventListener('scroll', hide, { capture: true, passive: true });
  window.addEventListener('hashchange', hide);
})();
