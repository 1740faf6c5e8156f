'use strict';

// Shows a token's activation under the pointer or the keyboard's focus.
(() => {
  const { byId, element } = monosem.dom;
  const tooltip = byId('tooltip');
  const GAP = 6;

  function show(event) {
    const token = event.target.closest('.line .token');
    tooltip.hidden = !token;
    if (!token) return;
    const { id, activation } = token.dataset;
    tooltip.replaceChildren(
      element('bdi', '', monosem.tokens.text(id)),
      element('span', '', ` · activation ${activation} · id ${id}`),
    );
    const at = token.getBoundingClientRect();
    const right = document.documentElement.clientWidth - tooltip.offsetWidth;
    const above = at.top - tooltip.offsetHeight - GAP;
    tooltip.style.left = `${Math.max(0, Math.min(at.left, right - GAP))}px`;
    tooltip.style.top = `${above > 0 ? above : at.bottom + GAP}px`;
  }

  function walk(event) {
    const token = event.target.closest('.line .token');
    const next = {
      ArrowLeft: token?.previousElementSibling,
      ArrowRight: token?.nextElementSibling,
    }[event.key];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  const hide = () => {
    tooltip.hidden = true;
  };

  const feature = byId('feature');
  feature.addEventListener('pointerover', show);
  feature.addEventListener('focusin', show);
  feature.addEventListener('pointerleave', hide);
  feature.addEventListener('focusout', hide);
  feature.addEventListener('keydown', walk);
  document.addEventListener('scroll', hide, { capture: true, passive: true });
})();
