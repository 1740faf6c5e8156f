'use strict';

// The paper's rubric as a form: a row of points for each question.
monosem.rubric = (() => {
  const { button, element } = monosem.dom;
  const { RUBRIC, total } = monosem.labelfile;
  const QUESTIONS = {
    confidence: [
      'Confidence',
      'How sure are you of what it stands for? 0 no idea, 3 certain',
    ],
    consistency: [
      'Consistency',
      'How well do the strongly activating tokens (bold) fit that? ' +
        '0 not at all, 5 every one',
    ],
    logits: [
      'Logits',
      'How well do the positive logits fit it? 0 not at all, 3 all of them',
    ],
    separation: [
      'Separation',
      'If some logits do not fit: are those that fit separated by size? ' +
        '0 no, 1 yes',
    ],
    specificity: [
      'Specificity',
      'How specific is what it stands for? 0 vague, 3 very specific',
    ],
  };
  const MOST = 14;
  let forms = 0;

  // A form with the points of `value`, a rubric or null. form.value() returns
  // its points: null if no question is answered, undefined if only some are.
  function make(value) {
    const prefix = `rubric${forms++}`;
    const sum = element('output', 'sum');
    const rows = {};

    function row(name) {
      const [title, question] = QUESTIONS[name];
      const options = [...Array(RUBRIC[name] + 1).keys()].map(String);
      if (name === 'separation') options.push('NA');
      const radios = options.map((points) => {
        const radio = document.createElement('input');
        radio.type = 'radio';
        radio.name = `${prefix}${name}`;
        radio.value = points;
        return radio;
      });
      const node = element('fieldset', '', [
        element('legend', '', [element('strong', '', title), ` ${question}`]),
        element(
          'div',
          'points',
          radios.map((radio) => element('label', '', [radio, radio.value])),
        ),
      ]);
      node.dataset.question = name;
      rows[name] = { node, radios };
      return node;
    }

    const chosen = (name) =>
      rows[name].radios.find((radio) => radio.checked)?.value;

    function choose(name, points) {
      for (const radio of rows[name].radios) {
        radio.checked = radio.value === points;
      }
    }

    function own() {
      const found = {};
      for (const name of Object.keys(RUBRIC)) {
        const points = chosen(name);
        if (points === undefined) found[name] = undefined;
        else found[name] = points === 'NA' ? null : Number(points);
      }
      const answers = Object.values(found);
      if (answers.every((points) => points === undefined)) return null;
      return answers.includes(undefined) ? undefined : found;
    }

    // If all logits fit, there is nothing to be separated.
    function follow() {
      const { node, radios } = rows.separation;
      const settled = chosen('logits') === String(RUBRIC.logits);
      if (settled) choose('separation', 'NA');
      else if (node.disabled) radios.at(-1).checked = false;
      node.disabled = settled;
      const found = own();
      sum.textContent = found ? `${total(found)} of ${MOST} points` : '';
    }

    function set(rubric) {
      for (const name of Object.keys(RUBRIC)) {
        const points = rubric?.[name];
        choose(name, points === undefined ? '' : String(points ?? 'NA'));
      }
      follow();
    }

    function focus(name) {
      const { radios } = rows[name];
      (radios.find((radio) => radio.checked) ?? radios[0]).focus();
    }

    // A digit answers the question with the focus, and moves to the next one.
    function press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const name = event.target.closest('fieldset')?.dataset.question;
      const wanted = event.key.toLowerCase() === 'n' ? 'NA' : event.key;
      const radio = rows[name]?.radios.find((other) => other.value === wanted);
      if (!radio) return;
      event.preventDefault();
      radio.checked = true;
      radio.focus();
      follow();
      const names = Object.keys(RUBRIC);
      const next = names
        .slice(names.indexOf(name) + 1)
        .find((other) => !rows[other].node.disabled);
      if (next) focus(next);
    }

    const node = element('div', 'rubric', [
      ...Object.keys(RUBRIC).map(row),
      element('p', 'total', [sum, button('Clear the points', () => set(null))]),
    ]);
    node.addEventListener('change', follow);
    node.addEventListener('keydown', press);
    set(value);
    return { node, focus, set, value: own };
  }

  return { make, MOST };
})();
