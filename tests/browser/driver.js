// Opens a page in frames of several widths, uses it as a reader would, and writes down what it found.
"use strict";
(async () => {
  const { page, widths } = JSON.parse(document.getElementById("visit").textContent);
  const found = [];
  const wait = () => new Promise((done) => setTimeout(done, 60));
  for (const width of widths) {
    const frame = document.createElement("iframe");
    Object.assign(frame.style, { width: `${width}px`, height: "900px", border: "0" });
    document.body.append(frame);
    const errors = [];
    await new Promise((loaded) => {
      frame.addEventListener("load", loaded);
      frame.srcdoc = page.replace(
        "<head>",
        "<head><script>window.errors=[];addEventListener('error',(event)=>window.errors.push(event.message))</scr" + "ipt>",
      );
    });
    const view = frame.contentWindow;
    const root = frame.contentDocument;
    errors.push(...view.errors);
    const visible = (element) => element.getBoundingClientRect().width > 0 && view.getComputedStyle(element).display !== "none";
    const all = (selector, within = root) => [...within.querySelectorAll(selector)];
    const result = {
      width,
      ready: root.documentElement.dataset.ready,
      overflow: root.documentElement.scrollWidth - root.documentElement.clientWidth,
      cut: all(".scroll").filter((box) => box.scrollWidth > box.clientWidth).length,
      tile_rows: new Set(all(".keys > div").map((tile) => tile.getBoundingClientRect().top)).size,
      fading: all(".chips.more").length,
      unlabelled: all("svg").filter((svg) => !svg.querySelector("title")?.textContent).map((svg) => svg.outerHTML.slice(0, 80)),
      figures: all("figure").map((figure) => {
        const shown = all("svg", figure).filter(visible);
        const numbers = ["x", "y", "width", "height", "cx", "cy", "r", "d", "x1", "x2", "y1", "y2"];
        const wrong = all("svg *", figure).flatMap((element) =>
          numbers.map((name) => element.getAttribute(name)).filter((value) => value && /NaN|inf|undefined/i.test(value)));
        return {
          name: figure.id,
          shown: shown.length,
          width: shown[0]?.getBoundingClientRect().width,
          marks: shown[0] ? all("path, rect, circle, line, text", shown[0]).filter(visible).length : 0,
          wrong,
        };
      }),
    };
    const form = root.querySelector(".filters");
    const picture = (name) => all(`#${name} svg`).find(visible);
    if (form && picture("heat-map")) {
      const lines = () => all("path.s", picture("statistic-0")).filter((path) => path.closest(".one") && visible(path)).length;
      const cells = () => all(".one", picture("heat-map")).filter(visible).length;
      const [lined, celled] = [{}, {}];
      const note = (name) => {
        lined[name] = lines();
        celled[name] = cells();
      };
      note("all");
      const kinds = all("[data-by=k] input", form);
      const blocks = all("[data-by=l] input", form);
      kinds[0].focus();
      result.focusable = root.activeElement === kinds[0];
      kinds[0].click();
      note("without_kind");
      blocks.slice(1).forEach((box) => box.click());
      note("one_block");
      all(".all", form).forEach((button) => button.click());
      note("again");
      [result.lines, result.cells] = [lined, celled];

      const tip = root.getElementById("tip");
      const hit = picture("statistic-0").querySelector(".hit");
      hit.scrollIntoView({ block: "center" });
      await wait();
      const box = hit.getBoundingClientRect();
      const point = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
      hit.dispatchEvent(new view.PointerEvent("pointermove", point));
      result.tip = tip.hidden ? "" : tip.textContent;
      hit.dispatchEvent(new view.PointerEvent("pointerleave", point));
      result.tip_after = !tip.hidden;
      const other = picture("loss").querySelector(".hit");
      other.focus();
      other.dispatchEvent(new view.KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
      result.key_tip = tip.hidden ? "" : tip.textContent;
    }
    result.errors = [...errors, ...view.errors.slice(errors.length)];
    found.push(result);
    frame.remove();
  }
  document.getElementById("result").textContent = JSON.stringify(found);
})();
