// Calls at most once in `every_s`, however often it is asked for: the first at once, the last one never forgotten.
export function paced(every_s, work) {
  let waiting = 0;
  let last_ms = -Infinity;
  return () => {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = 0;
      last_ms = performance.now();
      work();
    }, Math.max(0, last_ms + every_s * 1000 - performance.now()));
  };
}
