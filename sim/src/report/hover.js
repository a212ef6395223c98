const steps = JSON.parse(document.getElementById("steps").textContent);
const plots = [...document.querySelectorAll("svg.plot")];
const clock = document.getElementById("clock");
const cells = [...document.querySelectorAll("[data-cell]")].map((cell) => {
  const [driver, column] = cell.dataset.cell.split(",");
  return { cell, driver, column, whole: cell.textContent };
});
const whole = clock.textContent;
function show(at) {
  const row = steps.rows[at];
  clock.textContent = row ? row.t : whole;
  for (const c of cells) c.cell.textContent = row ? row.d[c.driver][c.column] : c.whole;
  for (const plot of plots) {
    const x = steps.left + (at + 0.5) * steps.step;
    plot.querySelector(".cursor").setAttribute("transform", `translate(${row ? x : -9}, 0)`);
  }
}
for (const plot of plots) {
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * steps.width;
    show(Math.floor((x - steps.left) / steps.step));
  });
  plot.addEventListener("pointerleave", () => show(-1));
}
for (const button of document.querySelectorAll("[data-toggle]")) button.addEventListener("click", () => {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", on);
  for (const shape of document.querySelectorAll(`svg .d${button.dataset.toggle}`)) shape.classList.toggle("off", !on);
});
