'use strict';

// The form on a feature's page, and what it shares with blind labelling.
monosem.labelform = (() => {
  const { panel } = monosem;
  const { button, element, field, select } = monosem.dom;
  const { visible } = monosem.tokens;
  const { LONGEST, says, total, WHOLE } = monosem.labelfile;

  // A line for messages, which screen readers read out.
  function said() {
    const node = element('p', 'note said');
    node.setAttribute('role', 'status');
    return node;
  }

  // The fields for a label's text and its annotator's name.
  function controls() {
    const label = document.createElement('textarea');
    label.rows = 2;
    label.maxLength = LONGEST.label;
    const by = document.createElement('input');
    by.maxLength = LONGEST.by;
    by.value = monosem.labels.annotator();
    by.autocomplete = 'off';
    by.addEventListener('change', () => {
      if (says(by.value)) monosem.labels.rename(by.value);
    });
    return { label, by };
  }

  // UTF-8 cannot encode half of a surrogate pair.
  const whole = (text) => text.replaceAll(/\p{Cs}/gu, '\ufffd');

  function what(entry) {
    const about = [visible(entry.by, LONGEST.by)];
    if (entry.kind === 'model') about.push('a model');
    if (entry.blind) about.push('blind');
    if (entry.rubric) {
      about.push(`${total(entry.rubric)} of ${monosem.rubric.MOST} points`);
    }
    if (entry.score !== null) about.push(`score ${entry.score.toFixed(2)}`);
    return about.join(', ');
  }

  // The panel with a feature's labels, and the form for another. While it is on
  // the page, it also shows changes made elsewhere.
  function make(key, number) {
    const set = monosem.data.set(key);
    const feature = `${set.run}/${number}`;
    const list = element('ul', 'entries');
    const { label, by } = controls();
    const note = said();
    const rubric = monosem.rubric.make(null);
    const interval = select(
      [['', WHOLE], ...set.groups.map(({ name }) => [name, name])],
      '',
      () => fill(),
    );
    by.addEventListener('change', () => fill());
    const erase = button('Delete', () => {
      monosem.labels.remove(own());
      label.value = '';
      rubric.set(null);
      note.textContent = 'Deleted.';
    });

    function own() {
      const group = interval.value || null;
      return monosem.labels
        .get(key, number)
        .find((entry) => entry.by === by.value && entry.interval === group);
    }

    // Fills in the annotator's own entry. If there is none, what is being
    // written stays.
    function fill() {
      const entry = own();
      if (entry) {
        label.value = entry.label;
        rubric.set(entry.rubric);
      }
      note.textContent = entry?.blind
        ? 'This label was given blind; saved here, it is no longer blind.'
        : '';
      draw();
    }

    function draw() {
      erase.disabled = !own();
      list.replaceChildren(
        ...monosem.labels
          .get(key, number)
          .map((entry) =>
            element('li', '', [
              element('bdi', '', visible(entry.label, LONGEST.label) || '–'),
              element(
                'span',
                'note',
                `${entry.interval ?? WHOLE}, by ${what(entry)}`,
              ),
            ]),
          ),
      );
    }

    function save() {
      const points = rubric.value();
      if (points === undefined) {
        note.textContent = 'Some questions of the rubric have no answer yet.';
        return;
      }
      try {
        monosem.labels.set({
          feature,
          interval: interval.value || null,
          label: whole(label.value.trim()),
          by: whole(by.value),
          kind: 'human',
          blind: false,
          rubric: points,
          score: null,
        });
        note.textContent = monosem.labels.trouble() || 'Saved.';
      } catch (error) {
        note.textContent = `Not saved: ${error.message}.`;
      }
    }

    const form = element('div', 'labelform nosave', [
      field('Label', label),
      element('div', 'choice', [field('of', interval), field('by', by)]),
      element('details', '', [
        element('summary', '', 'Score it by the paper’s rubric'),
        rubric.node,
      ]),
      element('div', 'choice', [
        button('Save label', save, 'Ctrl+Enter'),
        erase,
      ]),
      note,
    ]);
    form.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      save();
    });
    const told = 'by people and by models';
    const node = panel('Labels', told, [list, form], 'labels');
    const follow = () => {
      if (node.isConnected) draw();
      else document.removeEventListener('labels', follow);
    };
    document.addEventListener('labels', follow);
    fill();
    return node;
  }

  return { controls, make, said, what, whole };
})();
