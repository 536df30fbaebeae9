"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("data").textContent).charts;
  const tip = document.getElementById("tip");
  const form = document.querySelector(".filters");

  // Filters: what is left out by kind or by block is not drawn.
  const chosen = { k: null, l: null };
  const isOn = (k, l) =>
    (chosen.k === null || k === null || chosen.k.has(k)) && (chosen.l === null || l === null || chosen.l.has(l));
  const apply = () => {
    for (const element of document.querySelectorAll(".chart [data-k], .chart [data-l]")) {
      element.classList.toggle("off", !isOn(element.getAttribute("data-k"), element.getAttribute("data-l")));
    }
  };
  if (form) {
    form.hidden = false;
    for (const fieldset of form.querySelectorAll("fieldset")) {
      const boxes = [...fieldset.querySelectorAll("input")];
      const all = fieldset.querySelector(".all");
      const update = () => {
        const on = boxes.filter((box) => box.checked);
        chosen[fieldset.dataset.by] = on.length === boxes.length ? null : new Set(on.map((box) => box.value));
        all.setAttribute("aria-pressed", String(on.length === boxes.length));
        apply();
      };
      for (const box of boxes) box.addEventListener("change", update);
      // All, or none when all are shown already.
      all.addEventListener("click", () => {
        const every = boxes.every((box) => box.checked);
        for (const box of boxes) box.checked = !every;
        update();
      });
      // A double click on one shows it alone.
      fieldset.addEventListener("dblclick", (event) => {
        const label = event.target.closest("label");
        if (!label) return;
        for (const box of boxes) box.checked = label.contains(box);
        update();
      });
    }
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // Chips that scroll fade out where there are more.
  for (const chips of document.querySelectorAll(".chips")) {
    const mark = () =>
      chips.classList.toggle("more", chips.scrollWidth - chips.clientWidth - chips.scrollLeft > 4);
    chips.addEventListener("scroll", mark, { passive: true });
    addEventListener("resize", mark);
    mark();
  }

  // Numbers, as in the pictures.
  const plain = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(2).replace("e+", "e");
  };
  const units = {
    plain,
    count: (value) => Math.round(value).toLocaleString("en"),
    percent: (value) => `${Number((value * 100).toFixed(1))} %`,
    seconds: (value) => (Math.abs(value) < 1 ? `${plain(value * 1000)} ms` : `${plain(value)} s`),
    bytes: (value) => {
      let unit = 0;
      for (; value >= 1024 && unit < 4; unit++) value /= 1024;
      return `${Number(value.toPrecision(value >= 100 ? 4 : 3))} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
    },
  };
  const told = (unit, value) => (value === null || value === undefined ? "–" : units[unit || "plain"](value));

  const show = (lines, x, y) => {
    tip.replaceChildren();
    lines.forEach(([text, strong], index) => {
      const line = document.createElement(strong ? "b" : index ? "i" : "span");
      line.textContent = text;
      if (index && !strong) tip.append(document.createElement("br"));
      tip.append(line);
    });
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 14 + box.width > innerWidth - 8 ? x - 14 - box.width : x + 14;
    const top = y + 14 + box.height > innerHeight - 8 ? y - 14 - box.height : y + 14;
    tip.style.transform = `translate(${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px,${Math.max(8, top)}px)`;
  };
  const hide = (svg) => {
    tip.hidden = true;
    if (!svg) return;
    svg.classList.remove("focus");
    for (const element of svg.querySelectorAll(".on")) element.classList.remove("on");
    for (const element of svg.querySelectorAll(".cur")) element.remove();
  };

  const scale = (text, from, to) => {
    const [low, high, kind] = text.split(" ");
    const way = kind === "log" ? Math.log : (value) => value;
    const [a, b] = [way(Number(low)), way(Number(high))];
    return {
      place: (value) => {
        const share = (way(kind === "log" ? Math.max(value, Number(low)) : value) - a) / (b - a);
        return from + Math.min(1, Math.max(0, share)) * (to - from);
      },
    };
  };

  for (const hit of document.querySelectorAll(".hit")) {
    const chart = charts[hit.dataset.chart];
    if (!chart) continue;
    const svg = hit.ownerSVGElement;
    const number = (name) => Number(hit.getAttribute(name));
    const [left, top, width, height] = ["x", "y", "width", "height"].map(number);
    const x = scale(hit.dataset.x, left, left + width);
    const y = scale(hit.dataset.y, top + height, top);
    hit.setAttribute("tabindex", "0");
    hit.setAttribute("role", "application");
    hit.setAttribute("aria-label", "Values: move the pointer, or use the left and right arrow keys");
    const steps = (series) => series.x || chart.x || [];
    const nearestIndex = (list, place) => {
      let best = -1;
      let distance = Infinity;
      list.forEach((value, index) => {
        const now = Math.abs(x.place(value) - place);
        if (now < distance) [best, distance] = [index, now];
      });
      return best;
    };
    const cursor = (place) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const attributes = { class: "cur", x1: place, x2: place, y1: top, y2: top + height };
      for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
      hit.before(line);
    };
    const at = (px, py, clientX, clientY) => {
      hide(svg);
      if (chart.mode === "all") {
        const index = nearestIndex(chart.x, px);
        if (index < 0) return;
        cursor(x.place(chart.x[index]));
        const lines = [[`step ${units.count(chart.x[index])}`, true]];
        for (const series of chart.series) {
          if (series.y[index] !== null && series.y[index] !== undefined) {
            lines.push([`${series.n}: ${told(series.unit, series.y[index])}`, false]);
          }
        }
        show(lines, clientX, clientY);
        return;
      }
      let best = null;
      let distance = Infinity;
      for (const series of chart.series) {
        const layer = series.l === null || series.l === undefined ? "–" : String(series.l);
        if (!isOn(String(series.k), "l" in series ? layer : null)) continue;
        const list = steps(series);
        list.forEach((value, index) => {
          if (series.y[index] === null) return;
          const far = Math.hypot(x.place(value) - px, py === null ? 0 : y.place(series.y[index]) - py);
          if (far < distance) [best, distance] = [{ series, index }, far];
        });
      }
      if (!best || distance > Math.max(width, height) / 3) return;
      const { series, index } = best;
      const step = steps(series)[index];
      cursor(x.place(step));
      svg.classList.add("focus");
      for (const element of svg.querySelectorAll(".one")) {
        if (element.getAttribute("data-s") === series.n) element.classList.add("on");
      }
      const where = chart.xunit ? units[chart.xunit](step) : `step ${units.count(step)}`;
      const lines = [[series.n, true], [`${where}: ${told(chart.unit, series.y[index])}`, false]];
      const threshold = series.t ? series.t[index] : chart.t;
      if (threshold !== null && threshold !== undefined) lines.push([`threshold ${plain(threshold)}`, false]);
      if (series.d && series.d !== series.f) lines.push([`decided at step ${series.d}`, false]);
      if ("k" in series && !chart.xunit) lines.push([series.f ? `froze at step ${series.f}` : "not frozen", false]);
      show(lines, clientX, clientY);
    };
    const pointed = (event) => {
      const box = hit.getBoundingClientRect();
      const px = left + ((event.clientX - box.left) / box.width) * width;
      const py = top + ((event.clientY - box.top) / box.height) * height;
      at(px, py, event.clientX, event.clientY);
    };
    hit.addEventListener("pointermove", pointed);
    hit.addEventListener("pointerdown", pointed);
    hit.addEventListener("pointerleave", () => hide(svg));
    hit.addEventListener("blur", () => hide(svg));
    let place = left + width / 2;
    hit.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      place = Math.min(left + width, Math.max(left, place + (way * width) / 60));
      const box = hit.getBoundingClientRect();
      const share = (place - left) / width;
      at(place, chart.mode === "all" ? null : top + height / 2, box.left + share * box.width, box.top + box.height / 3);
    });
  }

  // Lines and marks lie above the surface that is touched; they must not hide it.
  for (const svg of document.querySelectorAll(".chart")) {
    for (const element of svg.querySelectorAll("[data-tip]")) {
      const native = element.querySelector(":scope > title");
      if (native) native.remove();
      element.addEventListener("pointermove", (event) =>
        show([[element.dataset.tip, false]], event.clientX, event.clientY));
      element.addEventListener("pointerleave", () => hide(svg));
    }
  }
  document.documentElement.dataset.ready = "yes";
})();
