'use strict';

// Makes elements. Text becomes text and never markup, whatever it spells.
monosem.dom = (() => {
  const SVG = 'http://www.w3.org/2000/svg';

  function fill(node, className, content) {
    if (className) node.setAttribute('class', className);
    if (Array.isArray(content)) node.append(...content);
    else node.textContent = content;
    return node;
  }

  // `content` is a string or an array of nodes and strings.
  const element = (tag, className, content = '') =>
    fill(document.createElement(tag), className, content);

  const svg = (tag, attributes, content = '') => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
      node.setAttribute(name, value);
    }
    return fill(node, attributes.class, content);
  };

  // A term and its value, for a <dl>.
  const entry = (label, value) =>
    element('div', '', [
      element('dt', '', label),
      element('dd', '', Array.isArray(value) ? value : String(value)),
    ]);

  // A link to an address of this page, see router.js.
  const link = (href, content, className = '') => {
    const node = element('a', className, content);
    node.href = href;
    return node;
  };

  const button = (content, act, title = '') => {
    const node = element('button', '', content);
    node.type = 'button';
    if (title) node.title = title;
    node.addEventListener('click', act);
    return node;
  };

  // A label around a control.
  const field = (text, control) => element('label', 'field', [text, control]);

  // `options` are pairs of a value and its text.
  const select = (options, value, act) => {
    const node = document.createElement('select');
    for (const [own, text] of options) node.add(new Option(text, own));
    node.value = value;
    node.addEventListener('change', () => act(node.value));
    return node;
  };

  // `rows` are arrays of the cells' contents. Numbers are aligned right.
  function table(headings, rows, caption = '') {
    const cell = (tag, content) => {
      const node = element(tag, '', content ?? '–');
      if (/^[−+\d.,%e ]+$/.test(node.textContent)) node.className = 'number';
      return node;
    };
    const line = (tag, cells) =>
      element(
        'tr',
        '',
        cells.map((content) => cell(tag, content)),
      );
    return element('table', '', [
      ...(caption ? [element('caption', '', caption)] : []),
      element('thead', '', [line('th', headings)]),
      element(
        'tbody',
        '',
        rows.map((cells) => line('td', cells)),
      ),
    ]);
  }

  const byId = (id) => document.getElementById(id);

  return { button, byId, element, entry, field, link, select, svg, table };
})();
