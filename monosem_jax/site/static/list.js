'use strict';

// The list of a dictionary's features. Only the rows in view exist, so that
// 100,000 features scroll as well as 100.
monosem.list = (() => {
  const { byId, element } = monosem.dom;
  const { digits, percent } = monosem.format;
  const { chip } = monosem.tokens;

  const ROW = 28;
  const OVERSCAN = 8;
  const LABELS = { number: 'No.', density: 'Density', max: 'Max' };

  const view = byId('list');
  const rows = byId('rows');
  let dictionary = null;
  let order = [];
  let sortKey = 'max';
  let descending = true;
  let cursor = 0;
  let selected = null;
  let open = () => {};

  const columns = {
    number: (i) => i,
    density: (i) => dictionary.fired[i],
    max: (i) => dictionary.max[i],
  };

  function row(place) {
    const i = order[place];
    const dead = dictionary.fired[i] === 0;
    const density = dictionary.fired[i] / dictionary.meta.tokens;
    const node = element('div', 'row', [
      element('span', 'number', String(i)),
      element('span', 'number', dead ? 'dead' : percent(density)),
      element('span', 'number', dead ? '–' : digits(dictionary.max[i])),
      element('span', 'top', dictionary.top[i].map(chip)),
    ]);
    node.id = `row-${i}`;
    node.setAttribute('role', 'option');
    node.setAttribute('aria-selected', String(i === selected));
    node.setAttribute('aria-setsize', order.length);
    node.setAttribute('aria-posinset', place + 1);
    node.classList.toggle('dead', dead);
    node.classList.toggle('cursor', place === cursor);
    node.style.top = `${place * ROW}px`;
    node.style.height = `${ROW}px`;
    node.addEventListener('click', () => {
      cursor = place;
      open(i);
    });
    return node;
  }

  function draw() {
    const first = Math.floor(view.scrollTop / ROW) - OVERSCAN;
    const last = Math.ceil((view.scrollTop + view.clientHeight) / ROW);
    const shown = [];
    for (let place = Math.max(first, 0); place < last + OVERSCAN; place++) {
      if (place < order.length) shown.push(row(place));
    }
    rows.style.height = `${order.length * ROW}px`;
    rows.replaceChildren(...shown);
    view.setAttribute('aria-activedescendant', `row-${order[cursor]}`);
  }

  function moveTo(place) {
    cursor = Math.max(0, Math.min(place, order.length - 1));
    const top = cursor * ROW;
    const lowest = top + ROW - view.clientHeight;
    view.scrollTop = Math.max(lowest, Math.min(view.scrollTop, top));
    draw();
  }

  function arrange() {
    const column = columns[sortKey];
    const sign = descending ? -1 : 1;
    order = dictionary.fired.map((_, i) => i);
    order.sort((a, b) => sign * (column(a) - column(b)) || a - b);
    for (const button of byId('sort').querySelectorAll('button')) {
      const on = button.dataset.key === sortKey;
      button.setAttribute('aria-pressed', String(on));
      button.dataset.arrow = on ? (descending ? '↓' : '↑') : '';
    }
    moveTo(order.indexOf(selected));
  }

  function sortBy(key) {
    // The same column again turns round; numbers ascend, others descend first.
    descending = key === sortKey ? !descending : key !== 'number';
    sortKey = key;
    arrange();
  }

  function press(event) {
    if (event.key === 'ArrowDown') moveTo(cursor + 1);
    else if (event.key === 'ArrowUp') moveTo(cursor - 1);
    else if (event.key === 'Enter') open(order[cursor]);
    else return;
    event.preventDefault();
  }

  // Shows a dictionary's features, or marks one of those on show.
  function show(key, number) {
    const changed = dictionary !== monosem.data.dictionaries[key];
    dictionary = monosem.data.dictionaries[key];
    selected = number;
    if (changed) arrange();
    else moveTo(order.indexOf(number));
  }

  // `opener` is called with the number of the feature that is chosen.
  function start(opener) {
    open = opener;
    for (const [key, label] of Object.entries(LABELS)) {
      const button = element('button', '', label);
      button.type = 'button';
      button.dataset.key = key;
      button.addEventListener('click', () => sortBy(key));
      byId('sort').append(button);
    }
    byId('sort').append(element('span', '', 'Raises most'));
    view.addEventListener('scroll', draw, { passive: true });
    view.addEventListener('keydown', press);
    window.addEventListener('resize', draw);
    // The arrows work before anything is clicked.
    view.focus();
  }

  return { show, start };
})();
