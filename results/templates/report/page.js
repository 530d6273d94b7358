"use strict";

// A click on a heading sorts by its column, numbers by value; blanks stay last.
for (const heading of document.querySelectorAll("th")) {
  heading.querySelector("button").addEventListener("click", () => {
    const table = heading.closest("table"), body = table.tBodies[0];
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    const numeric = heading.classList.contains("number");
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((first, second) => {
      const [a, b] = [value(first), value(second)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
      return down ? -order : order;
    });
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
}

// Parallel coordinates. Without this script, and on paper, the static plot takes their place.
const holder = document.querySelector(".parallel");
if (holder && window.echarts) {
  const data = JSON.parse(document.querySelector(".parallel-data").textContent);
  const target = holder.querySelector(".chart"), selected = holder.querySelector(".selected");
  holder.hidden = false;
  holder.parentElement.classList.add("live");
  const chart = echarts.init(target, null, { renderer: "svg" });
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const short = (value) => (value !== 0 && Math.abs(value) < 0.001)
    ? value.toExponential().replace(/(\.\d)\d+/, "$1") : String(Number(value.toPrecision(3)));

  // Text stays readable where lines cross it.
  const halo = () => ({ textBorderColor: style("--ground"), textBorderWidth: 3 });

  const axis = (one, dim, narrow) => ({
    dim,
    name: narrow ? one.title : one.title.replace(/ (?=\S+ \S+$|\S+$)/, "\n"),
    nameLocation: narrow ? "start" : "end",
    nameTextStyle: {
      color: style("--ink"), lineHeight: 15, ...halo(),
      ...(narrow ? { align: "left", verticalAlign: "bottom", padding: [0, 0, 4, 0] } : { align: "center" }),
    },
    nameGap: narrow ? 0 : 14,
    type: one.names.length ? "category" : one.log ? "log" : "value",
    data: one.names.length ? one.names : undefined,
    boundaryGap: one.names.length ? false : undefined,
    scale: true,
    axisLine: { lineStyle: { color: style("--quiet") } },
    axisLabel: { color: style("--quiet"), ...halo(), hideOverlap: true, formatter: one.names.length ? undefined : short },
    splitLine: { show: false },
  });

  const draw = () => {
    const narrow = target.clientWidth < 560;
    const lines = data.lines.map((values, number) => ({
      name: data.labels[number],
      value: values.map((value) => value ?? "-"),
      lineStyle: number === 0 ? { color: style("--warm"), width: 3, opacity: 1 } : {},
    }));
    chart.clear();
    chart.setOption({
      animation: false,
      textStyle: { fontFamily: style("--type") },
      tooltip: { trigger: "item", formatter: (line) => line.name },
      parallel: narrow
        ? { layout: "vertical", left: 24, right: 24, top: 30, bottom: 30 }
        : { left: 40, right: 60, top: 60, bottom: 20 },
      parallelAxis: data.axes.map((one, dim) => axis(one, dim, narrow)),
      series: [{
        type: "parallel",
        smooth: false,
        inactiveOpacity: 0.06,
        lineStyle: { width: 1.5, opacity: 0.75, color: style("--cool") },
        data: lines.reverse(),  // the best is drawn last, on top
      }],
    });
    report();
  };

  const report = () => {
    const series = chart.getModel().getSeriesByIndex(0);
    const count = data.labels.length;
    const active = series.getRawIndicesByActiveState("active").map((index) => count - 1 - index);
    const inactive = series.getRawIndicesByActiveState("inactive").length;
    const names = active.sort((a, b) => a - b).map((number) => data.labels[number]).join(", ");
    selected.textContent = inactive
      ? `${active.length} of ${count} trials${active.length ? ", best first: " : ""}${names}.`
      : `All ${count} trials.`;
  };

  chart.on("axisareaselected", report);
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = target.clientWidth;
  new ResizeObserver(() => {
    if (target.clientWidth === width || !target.clientWidth) return;
    width = target.clientWidth;
    chart.resize();
    draw();
  }).observe(target);
}
