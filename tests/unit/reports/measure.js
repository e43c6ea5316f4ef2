// Measures what a frame shows: text that is faint, outside of what holds it, or too small, and tables that scroll.

function luminance(color) {
  const linear = v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map(v => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// WCAG 2: the contrast of text with what is behind it.
function contrast(view, element) {
  const style = view.getComputedStyle(element);
  const ink = luminance(element.closest("svg") ? style.fill : style.color);
  let behind = element;
  while (view.getComputedStyle(behind).backgroundColor == "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const paper = luminance(view.getComputedStyle(behind).backgroundColor);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}

function measure(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, width = page.documentElement.clientWidth;
  const dark = view.matchMedia("(prefers-color-scheme: dark)").matches;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const found = {width, dark, texts: 0, faint: [], outside: [], small: [], page: page.documentElement.scrollWidth};
  const scrolls = box => box.scrollWidth > box.clientWidth;
  found.scrolling = [...page.querySelectorAll(".scroll")].filter(scrolls).map(box => box.innerText.slice(0, 60));
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement, text = node.data.trim(), svg = element.closest("svg");
    if (!text || element.localName == "style") continue;
    const range = page.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect(), within = svg ? svg.getBoundingClientRect() : {left: 0, right: width};
    found.texts += 1;
    if (contrast(view, element) < 4.5) found.faint.push(text);
    const outside = box.left < within.left - 1 || box.right > within.right + 1;
    if (outside && !element.closest(".scroll")) found.outside.push(text);
    if (Math.max(box.height, box.width) < 8 || parseFloat(view.getComputedStyle(element).fontSize) < 8) found.small.push(text);
  }
  return found;
}

window.onload = () => (document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(measure)));
