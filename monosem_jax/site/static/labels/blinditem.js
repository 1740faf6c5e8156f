'use strict';

// One item of a blind session: an interval of a feature or neuron, and the form
// to score it. Neither the page nor its title and address tell which it is.
monosem.blinditem = (() => {
  const { button, element, field, link } = monosem.dom;
  const { count, percent } = monosem.format;
  const { chip, line } = monosem.tokens;
  const { href, go, replace } = monosem.router;
  const { done, entryOf, sessions } = monosem.blind;
  // Activations from this share of the example's largest are bold.
  const STRONG = 0.5;

  function level({ fraction }) {
    return fraction === undefined
      ? ''
      : `near ${percent(fraction)} of its sample’s maximum`;
  }

  // Examples of a group, with no more than shades, as shares of the maximum.
  function examples(record, group, max) {
    const rows = record.examples
      .filter((example) => example.group === group)
      .map(({ ids, acts, own }) => {
        const node = line(ids, own, (i) => ({
          share: max > 0 ? acts[i] / max : 0,
        }));
        const largest = Math.max(...acts);
        Array.from(acts).forEach((act, i) => {
          if (largest > 0 && act >= STRONG * largest) {
            node.children[i].classList.add('strong');
          }
        });
        return element('li', '', [node]);
      });
    return element('ol', 'examples', rows);
  }

  function logits(record) {
    const top = record.raised[0]?.[1];
    const rows = record.raised.map(([id, weight]) =>
      element('li', '', [
        chip(id),
        element('span', 'number', top > 0 ? percent(weight / top) : '–'),
      ]),
    );
    return element('ol', 'logits', rows);
  }

  function finished(session, seed, place) {
    const open = session.items.findIndex((item) => !done(session, item));
    const title = open < 0 ? 'All items are labelled' : 'That was the last one';
    place.replaceChildren(
      element('h2', '', title),
      element('p', '', [
        ...(open < 0
          ? []
          : [
              link(
                href('labelling', 'blind', seed, String(open + 1)),
                `Item ${count(open + 1)}`,
              ),
              ' was skipped. ',
            ]),
        link(href('labelling'), 'See the scores'),
        ', or save labels.json there.',
      ]),
    );
  }

  async function show([seed, asked], place) {
    place.classList.add('labelling', 'blind');
    const found = sessions();
    document.title = 'Labelling blind';
    if (!Object.hasOwn(found, seed)) {
      place.replaceChildren(
        element('p', 'silent', [
          'This browser has no such session. ',
          link(href('labelling'), 'Start one'),
          ': the same seed and settings draw the same items again.',
        ]),
      );
      return undefined;
    }
    const session = found[seed];
    const { items: all } = session;
    for (const key of session.keys) await monosem.data.columns(key);
    if (asked === undefined) {
      const open = all.findIndex((item) => !done(session, item));
      const at = String((open < 0 ? all.length : open) + 1);
      replace(href('labelling', 'blind', seed, at));
      return show([seed, at], place);
    }
    const at = Number(asked) - 1;
    if (!(at in all)) {
      finished(session, seed, place);
      return undefined;
    }
    document.title = `Labelling blind: item ${at + 1} of ${all.length}`;
    return item(session, seed, at, place);
  }

  async function item(session, seed, at, place) {
    const { items: all } = session;
    const [key, number, interval] = all[at];
    const set = monosem.data.set(key);
    const record = await monosem.record.feature(key, number);
    const max = set.columns.max[number];
    const entry = entryOf(session, all[at]);
    const before = all[at - 1];
    const again = before?.[0] === key && before[1] === number;
    const { label } = monosem.labelform.controls();
    const said = again ? entryOf(session, before)?.label : '';
    label.value = entry?.label ?? said ?? '';
    const note = monosem.labelform.said();
    const rubric = monosem.rubric.make(entry?.rubric ?? null);
    const shown = performance.now();

    function save() {
      const points = rubric.value();
      if (!points) {
        note.textContent = 'Some questions of the rubric have no answer yet.';
        return;
      }
      const seconds = Math.round((performance.now() - shown) / 100) / 10;
      try {
        monosem.labels.set({
          feature: `${set.run}/${number}`,
          interval,
          label: monosem.labelform.whole(label.value.trim()),
          by: session.by,
          kind: 'human',
          blind: true,
          rubric: points,
          score: null,
          seconds,
        });
        move(1);
      } catch (error) {
        note.textContent = `Not saved: ${error.message}.`;
      }
    }

    const move = (by) => go('labelling', 'blind', seed, String(at + 1 + by));
    const press = (event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      save();
    };
    const own = set.groups.findIndex(({ name }) => name === interval);
    const others = set.groups.flatMap((group, g) => {
      const shownHere = examples(record, g, max);
      return g === own || !shownHere.children.length
        ? []
        : [element('h3', '', group.name), shownHere];
    });
    const back = button('Back', () => move(-1));
    back.disabled = at === 0;
    note.textContent = monosem.labels.trouble();
    place.replaceChildren(
      element('h2', '', `Item ${count(at + 1)} of ${count(all.length)}`),
      element('p', 'note', [
        again
          ? 'Another interval of the previous feature or neuron. '
          : 'A new feature or neuron. ',
        'Shading: activation, as a share of its maximum; bold: at least half ' +
          'of the example’s largest.',
      ]),
      element('div', 'item', [
        element('div', '', [
          element('h3', '', interval),
          element('p', 'note', level(set.groups[own])),
          examples(record, own, max),
          element('h3', '', 'Positive logits'),
          element('p', 'note', 'as shares of the largest'),
          logits(record),
          element('details', '', [
            element(
              'summary',
              '',
              'Other intervals (the paper’s annotator saw all of them)',
            ),
            ...others,
          ]),
        ]),
        element('div', 'labelform', [
          field('What it stands for', label),
          rubric.node,
          element('div', 'choice', [
            button('Save and go on', save, 'Ctrl+Enter'),
            button('Skip', () => move(1)),
            back,
          ]),
          note,
          element(
            'p',
            'note',
            'Digits answer the question with the focus, N answers NA; ' +
              'Ctrl+Enter saves and goes on.',
          ),
        ]),
      ]),
    );
    label.focus({ preventScroll: true });
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }

  return { show };
})();
