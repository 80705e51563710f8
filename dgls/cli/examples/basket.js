export function total(items) {
  let sum = 0;
  for (const item of items) {
    sum += item.price * item.count;
  }
  <HOLE: return sum;>
}

export function discounted(items, percent) {
  const factor = 1 - percent / 100;
  <HOLE: return total(items) * factor;>
}
