'use strict';

// Files to be saved: parts of the page as pictures. What the browser has laid
// out is drawn again as SVG, element by element; a PNG is made of the SVG.
monosem.save = (() => {
  const { element, svg } = monosem.dom;
  const CLEAR = /^rgba\(.*, 0\)$|^transparent$/;
  const MARGIN = 8;
  // Where the baseline lies, as a share of a line's height.
  const BASELINE = 0.78;

  // Offers a blob to be saved under a name.
  function file(name, blob) {
    const link = element('a', '');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  const hidden = (node) =>
    node.classList.contains('nosave') || !node.getClientRects().length;

  function box(node, style, at) {
    const common = {
      x: at.x,
      y: at.y,
      width: at.width,
      height: at.height,
      rx: parseFloat(style.borderTopLeftRadius) || 0,
    };
    const parts = [];
    if (!CLEAR.test(style.backgroundColor)) {
      parts.push(svg('rect', { ...common, fill: style.backgroundColor }));
    }
    if (style.outlineStyle === 'solid') {
      const line = { fill: 'none', stroke: style.outlineColor };
      parts.push(svg('rect', { ...common, ...line, 'stroke-width': 1.5 }));
    }
    for (const [side, y] of [
      ['Top', at.y],
      ['Bottom', at.y + at.height],
    ]) {
      const width = parseFloat(style[`border${side}Width`]);
      const form = style[`border${side}Style`];
      if ((form === 'solid' || form === 'dotted') && width > 0) {
        const middle = y + (side === 'Top' ? width : -width) / 2;
        parts.push(
          svg('line', {
            x1: at.x,
            x2: at.x + at.width,
            y1: middle,
            y2: middle,
            stroke: style[`border${side}Color`],
            'stroke-width': width,
            'stroke-dasharray':
              form === 'dotted' ? `${width} ${width}` : 'none',
          }),
        );
      }
    }
    return parts;
  }

  // A text node, line by line as the browser broke it.
  function texts(node, origin) {
    const style = getComputedStyle(node.parentElement);
    const range = document.createRange();
    const lines = [];
    let at = 0;
    for (const character of node.data) {
      range.setStart(node, at);
      at += character.length;
      range.setEnd(node, at);
      const rect = range.getBoundingClientRect();
      if (!rect.width) continue;
      const last = lines.at(-1);
      if (last && Math.abs(last.top - rect.top) < 2) last.text += character;
      else lines.push({ ...rect.toJSON(), text: character });
    }
    return lines.map(({ left, top, height, text }) => {
      const drawn = svg(
        'text',
        {
          x: left - origin.left,
          y: top - origin.top + BASELINE * height,
          fill: style.color,
          'font-family': style.fontFamily,
          'font-size': style.fontSize,
          'font-weight': style.fontWeight,
        },
        text,
      );
      drawn.setAttribute('xml:space', 'preserve');
      return drawn;
    });
  }

  const PAINT = [
    'fill',
    'stroke',
    'stroke-width',
    'stroke-dasharray',
    'opacity',
  ];

  // A copy of an SVG in the page, with its colours as attributes.
  function drawing(node, at) {
    const copy = node.cloneNode(true);
    const originals = [node, ...node.querySelectorAll('*')];
    [copy, ...copy.querySelectorAll('*')].forEach((own, i) => {
      const style = getComputedStyle(originals[i]);
      for (const name of PAINT) own.setAttribute(name, style[name]);
      own.removeAttribute('class');
    });
    for (const name of ['x', 'y', 'width', 'height']) {
      copy.setAttribute(name, at[name]);
    }
    return copy;
  }

  function walk(node, origin) {
    if (node.nodeType === Node.TEXT_NODE) return texts(node, origin);
    if (node.nodeType !== Node.ELEMENT_NODE || hidden(node)) return [];
    const rect = node.getBoundingClientRect();
    const at = {
      x: rect.left - origin.left,
      y: rect.top - origin.top,
      width: rect.width,
      height: rect.height,
    };
    if (node instanceof SVGSVGElement) return [drawing(node, at)];
    if (node instanceof HTMLCanvasElement) {
      return [svg('image', { ...at, href: node.toDataURL() })];
    }
    return [
      ...box(node, getComputedStyle(node), at),
      ...Array.from(node.childNodes).flatMap((child) => walk(child, origin)),
    ];
  }

  // The element as an SVG document.
  function picture(node) {
    const rect = node.getBoundingClientRect();
    const [width, height] = [rect.width + 2 * MARGIN, rect.height + 2 * MARGIN];
    const origin = { left: rect.left - MARGIN, top: rect.top - MARGIN };
    const ground = getComputedStyle(document.body).backgroundColor;
    const size = { width, height, viewBox: `0 0 ${width} ${height}` };
    return svg('svg', { ...size, xmlns: 'http://www.w3.org/2000/svg' }, [
      svg('rect', { width, height, fill: ground }),
      ...walk(node, origin),
    ]);
  }

  const svgBlob = (node) =>
    new Blob([new XMLSerializer().serializeToString(picture(node))], {
      type: 'image/svg+xml',
    });

  async function pngBlob(node) {
    const source = URL.createObjectURL(svgBlob(node));
    try {
      const image = new Image();
      image.src = source;
      await image.decode();
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
      const paper = canvas.getContext('2d');
      paper.drawImage(image, 0, 0, canvas.width, canvas.height);
      return await new Promise((resolve) => canvas.toBlob(resolve));
    } finally {
      URL.revokeObjectURL(source);
    }
  }

  return { file, pngBlob, svgBlob };
})();
