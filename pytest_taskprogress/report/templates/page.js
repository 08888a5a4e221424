"use strict";
(() => {
  // Everything can be read without this: it only searches, filters, opens and closes.
  const MOST_OPENED = 200;
  const get = (id) => document.getElementById(id);
  const form = get("find"), words = get("words"), shown = get("shown"), none = get("none");
  const count = (element) => Number(element.dataset.n || 1);
  const plain = (element) => element.textContent.toLowerCase();
  const tests = [...document.querySelectorAll(".t")].map((element) => ({
    element,
    outcome: element.dataset.o,
    runs: [...element.querySelectorAll(".r")].map((run) => ({
      element: run, keys: run.dataset.k.split(" "), count: count(run), text: null,
    })),
    text: null,
  }));
  const allRuns = tests.reduce((sum, test) => sum + test.runs.reduce((all, run) => all + run.count, 0), 0);

  // Texts are read when a search needs them first: a page of 10,000 runs opens without.
  const textOfRun = (run) => (run.text ??= plain(run.element));
  const textOfTest = (test) =>
    (test.text ??= [...test.element.children].filter((each) => !each.matches(".r")).map(plain).join(" "));

  const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
  const show = (element, visible) => { if (element.hidden === visible) element.hidden = !visible; };
  const figure = (value) => value.toLocaleString("en");
  let opened = []; // by a search: closed again when it is over

  function find() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = checked("o"), states = checked("s"), traits = checked("t");
    const ofRuns = states.length + traits.length > 0;
    let testCount = 0, runCount = 0;
    const visible = [];
    for (const test of tests) {
      const fits = !outcomes.length || outcomes.includes(test.outcome);
      const missing = fits ? wanted.filter((word) => !textOfTest(test).includes(word)) : wanted;
      let runs = 0;
      for (const run of test.runs) {
        const matches = fits
          && (!states.length || states.some((key) => run.keys.includes(key)))
          && traits.every((key) => run.keys.includes(key))
          && (!missing.length || missing.every((word) => textOfRun(run).includes(word)));
        show(run.element, matches);
        if (matches) runs += run.count;
      }
      const matches = runs > 0 || (fits && !ofRuns && !missing.length);
      show(test.element, matches);
      if (matches) { testCount += 1; visible.push(test.element); }
      runCount += runs;
    }
    show(none, testCount === 0 && tests.length > 0);
    shown.textContent = `${figure(testCount)} of ${figure(tests.length)} tests, `
      + `${figure(runCount)} of ${figure(allRuns)} runs`;
    for (const element of opened) element.open = false;
    opened = [];
    if (wanted.length && visible.length <= 10) {
      opened = visible.filter((element) => !element.open);
      for (const element of opened) element.open = true;
    }
  }

  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(find, 80); };
  const clear = () => { form.reset(); find(); words.focus(); };

  words.addEventListener("input", soon);
  form.addEventListener("change", (event) => { if (event.target !== words) find(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); find(); });
  get("clear").addEventListener("click", clear);
  get("open").addEventListener("click", () => {
    let left = MOST_OPENED;
    for (const test of tests) {
      if (test.element.hidden) continue;
      test.element.open = true;
      for (const run of test.runs) {
        if (run.element.hidden || !left) continue;
        run.element.open = true;
        left -= 1;
      }
    }
    opened = [];
    if (!left) shown.textContent += `; the first ${MOST_OPENED} were opened`;
  });
  get("close").addEventListener("click", () => {
    for (const element of document.querySelectorAll("#all details[open]")) element.open = false;
    opened = [];
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=checkbox]), textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      words.focus();
      words.select();
    } else if (event.key === "Escape" && event.target === words) {
      event.preventDefault();
      words.value = "";
      find();
    }
  });

  // A link leads to what it names, also if that is closed, or does not match.
  const follow = () => {
    const target = get(location.hash.slice(1));
    if (!target?.matches(".t, .r")) return;
    const test = target.closest(".t");
    if (target.hidden) { form.reset(); find(); }
    test.open = target.open = true;
    target.scrollIntoView();
    target.querySelector("summary")?.focus();
  };
  addEventListener("hashchange", follow);

  const theme = get("theme"), root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.style.colorScheme || (dark.matches ? "dark" : "light")) === "dark";
  const pressed = () => theme.setAttribute("aria-pressed", isDark());
  theme.addEventListener("click", () => { root.style.colorScheme = isDark() ? "light" : "dark"; pressed(); });
  dark.addEventListener("change", pressed);
  pressed();
  theme.hidden = form.hidden = false;
  find();
  follow();
})();
