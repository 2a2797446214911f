/** Restate's SDK says that it supports Node 18, but calls this function of Node 22. */
if (!('withResolvers' in Promise)) Object.assign(Promise, { withResolvers });

function withResolvers() {
  let settle = {};
  const promise = new Promise((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}
