'use strict';

// A titled part of a page, with buttons that save it as a picture.
monosem.panel = (() => {
  const { button, element } = monosem.dom;
  const { file, pngBlob, svgBlob } = monosem.save;

  // A file's name, from the page's address and the panel's title.
  const named = (title) => {
    const place = location.hash.slice(1).split('?')[0].replaceAll('/', '-');
    return `${place}-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`;
  };

  // The buttons that save the element `node`.
  function tools(node, title) {
    const buttons = [
      button('SVG', () => file(`${named(title)}.svg`, svgBlob(node))),
      button('PNG', async () =>
        file(`${named(title)}.png`, await pngBlob(node)),
      ),
    ];
    for (const one of buttons) {
      one.setAttribute('aria-label', `Save ${title} as ${one.textContent}`);
    }
    return element('span', 'save nosave', buttons);
  }

  function panel(title, note, content, className = '') {
    const node = element('section', `panel ${className}`);
    node.append(
      element('div', 'panelhead', [
        element('h3', '', title),
        element('p', 'note', note),
        tools(node, title),
      ]),
      ...content,
    );
    node.setAttribute('aria-label', title);
    return node;
  }

  return panel;
})();
