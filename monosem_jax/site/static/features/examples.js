'use strict';

// The examples of a feature, in groups, each with a button that shows its whole
// context.
monosem.examples = (() => {
  const { panel } = monosem;
  const { button, element } = monosem.dom;
  const { count, digits, percent } = monosem.format;

  function level({ fraction }, sampleMax) {
    if (fraction === undefined) return '';
    const share = percent(fraction);
    const near = digits(fraction * sampleMax);
    return `near ${near}, ${share} of the sample’s maximum`;
  }

  // The line of an example, and the button.
  function row(set, example, max) {
    const { subsets } = monosem.data.run;
    const own = example.acts[example.own];
    const act = element('span', 'number', digits(own));
    const from = element(
      'span',
      'subset',
      monosem.tokens.visible(subsets[example.subset] ?? '', 24),
    );
    from.title = `context ${example.context}, position ${example.position}`;
    const node = element('li', '', [
      act,
      monosem.tokens.example(example, max, set.key),
      from,
    ]);
    const wider = button('⋯', async () => {
      const open = node.querySelector('.wide');
      wider.setAttribute('aria-expanded', String(!open));
      if (open) {
        open.remove();
        return;
      }
      const wide = element('div', 'wide', 'loading …');
      node.append(wide);
      try {
        wide.replaceChildren(await whole(set, example, max));
      } catch (error) {
        wide.textContent = error.message;
      }
    });
    wider.classList.add('nosave');
    wider.setAttribute('aria-label', 'Show the whole context');
    wider.setAttribute('aria-expanded', 'false');
    node.append(wider);
    return node;
  }

  async function whole(set, example, max) {
    const context = await monosem.record.context(set.key, example.context);
    if (!context) {
      return element('p', 'note', 'This page does not have this context.');
    }
    const start = example.position - example.own;
    const known = (at) => at >= start && at < start + example.ids.length;
    const line = monosem.tokens.line(context.ids, example.position, (at) => ({
      share: known(at) && max > 0 ? example.acts[at - start] / max : 0,
      activation: known(at) ? example.acts[at - start] : undefined,
      effect: known(at) ? example.effects.get(at - start) : undefined,
      key: set.key,
      context: example.context,
      position: at,
    }));
    Array.from(line.children).forEach((node, at) => {
      if (!known(at)) node.classList.add('beyond');
    });
    return element('div', '', [
      line,
      element(
        'p',
        'note',
        `context ${count(example.context)} of ` +
          `${monosem.data.run.contexts.split}; the activations of faint ` +
          'tokens are not known',
      ),
    ]);
  }

  function group(set, found, index, record, max) {
    const examples = record.examples.filter(({ group }) => group === index);
    if (examples.length === 0) return [];
    const lines = examples.map((example) => row(set, example, max));
    return [
      panel(
        found.name,
        level(found, record.sampleMax),
        [element('ol', 'examples', lines)],
        'wideblock',
      ),
    ];
  }

  function legend() {
    const sample = (className, text) => {
      const node = element('span', `token ${className}`, text);
      node.style.setProperty('--effect', 1);
      node.style.setProperty('--shade', className ? 0 : 1);
      return node;
    };
    return element('p', 'note legend', [
      sample('', 'shade'),
      ': activation, as a share of the feature’s maximum. Underlined: tokens ' +
        'whose loss the feature changes, ',
      sample('helped', 'helped'),
      ' if it rises without the feature, ',
      sample('hurt', 'hurt'),
      ' if it falls.',
    ]);
  }

  // The panels of the groups `from` up to `to` that have examples.
  const panels = (set, record, max, from, to) =>
    set.groups.flatMap((found, i) =>
      i >= from && i < to ? group(set, found, i, record, max) : [],
    );

  // The strongest examples, and how to read them.
  function top(set, record, max) {
    const found = panels(set, record, max, 0, 1);
    return found.length && set.effects ? [legend(), ...found] : found;
  }

  const others = (set, record, max) => panels(set, record, max, 1, Infinity);

  return { others, top };
})();
