"use strict";
// Everything is in the page; this only chooses which image and which score are visible.
(() => {
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const answers = all("article.answer");
  const links = all(".chooser a");
  const status = document.querySelector("[role=status]");
  let current = 0;

  function choose(index) {
    current = index;
    answers.forEach((answer, i) => { answer.hidden = i !== index; });
    links.forEach((link, i) => {
      if (i === index) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    const link = links[index];
    const strip = link?.parentElement;
    strip?.scrollTo(link.offsetLeft - strip.clientWidth / 2, link.offsetTop - strip.clientHeight / 2);
    if (answers[index].getBoundingClientRect().top < 0) answers[index].scrollIntoView();
  }

  function fromAddress() {
    const index = answers.findIndex((answer) => `#${answer.id}` === location.hash);
    if (index >= 0 || !location.hash) choose(Math.max(index, 0));
  }

  function step(by) {
    const inside = links.includes(document.activeElement);
    choose((current + by + answers.length) % answers.length);
    history.replaceState(null, "", `#${answers[current].id}`);
    status.textContent = `Image ${current + 1} of ${answers.length}`;
    if (inside) links[current].focus();
  }

  function order(score) {
    all(".panel").forEach((panel) => { panel.hidden = panel.dataset.score !== score; });
    all("[data-show]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.show === score));
    });
  }

  function theme(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    document.querySelector(".theme").setAttribute("aria-pressed", String(dark));
  }

  root.classList.add("scripted");
  choose(0);
  fromAddress();
  order("0");
  theme(matchMedia("(prefers-color-scheme: dark)").matches);
  addEventListener("hashchange", fromAddress);
  addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const free = !event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (by && free && answers.length > 1) { event.preventDefault(); step(by); }
  });
  addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.show) order(button.dataset.show);
    else if (button) theme(root.dataset.theme !== "dark");
  });
})();
