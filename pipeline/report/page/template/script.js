"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                   set: (value) => { try { localStorage.setItem("theme", value); } catch { /* not kept */ } } };
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
  const before = stored.get();
  if (before === "dark" || before === "light") root.dataset.theme = before;
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; stored.set(root.dataset.theme); label(); });
  system.addEventListener("change", label);
  label();

  // a stop of the keyboard only where there is something to scroll
  const reachable = (element) => {
    const scrolls = element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight;
    element.tabIndex = scrolls ? 0 : -1;
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => reachable(entry.target)));
  document.querySelectorAll(".scroll").forEach((element) => sizes.observe(element));

  for (const pair of document.querySelectorAll(".pair")) {
    const stack = pair.querySelector(".stack"), range = pair.querySelector("input");
    const cut = () => stack.style.setProperty("--cut", `${range.value}%`);
    range.addEventListener("input", cut);
    stack.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons === 0) return;
      const box = stack.getBoundingClientRect();
      range.value = Math.round(100 * (event.clientX - box.left) / box.width);
      cut();
    });
    cut();
  }

  for (const slides of document.querySelectorAll(".slides")) {
    const frames = [...slides.querySelectorAll(".frames > .frame")], others = [...slides.querySelectorAll(".others > .frame")];
    const range = slides.querySelector("input"), output = slides.querySelector("output"), play = slides.querySelector(".play");
    let timer = 0;
    const show = () => {
      const chosen = Number(range.value);
      frames.forEach((frame, number) => { frame.hidden = number !== chosen; });
      others.forEach((other, number) => { other.hidden = number !== Number(frames[chosen].dataset.partner); });
      output.textContent = frames[chosen].querySelector(".caption").textContent;
      range.setAttribute("aria-valuetext", output.textContent);
    };
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    range.addEventListener("input", () => { stop(); show(); });
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      if (Number(range.value) === frames.length - 1) range.value = 0;
      show();
      play.textContent = "Stop";
      timer = setInterval(() => {
        range.value = Number(range.value) + 1;
        show();
        if (Number(range.value) === frames.length - 1) stop();
      }, 500);
    });
    slides.querySelector(".control").hidden = frames.length < 2;
    show();
  }
})();
