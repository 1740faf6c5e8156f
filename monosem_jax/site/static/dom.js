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

  // `content` is a string or an array of nodes.
  const element = (tag, className, content = '') =>
    fill(document.createElement(tag), className, content);

  const svg = (tag, attributes, content = '') => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
      node.setAttribute(name, value);
    }
    return fill(node, attributes.class, content);
  };

  // A term and what it is, for a <dl>.
  const entry = (label, value) =>
    element('div', '', [element('dt', '', label), element('dd', '', value)]);

  const byId = (id) => document.getElementById(id);

  return { byId, element, entry, svg };
})();
