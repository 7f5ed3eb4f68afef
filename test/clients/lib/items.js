// The rows that every client stores and finds again, and the exact answers computed here.

const count = 60;

// Whole numbers and halves: the same in float4, in half precision and in text.
export const items = Array.from({ length: count }, (_, i) => ({
  id: i + 1,
  category: ['apple', 'pear', 'plum'][i % 3],
  embedding: [i / 2, (i * i) % 17, (i * 7) % 13],
  bits: ((i * 37) % 256).toString(2).padStart(8, '0'),
}));

export const query = [7.25, 5.5, 3.125];

export function l2(a, b) {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0));
}

export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  return 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

// The ids of the k rows nearest to q, of those that the filter takes.
export function nearest(k, { distance = l2, filter = () => true, q = query } = {}) {
  const sorted = items
    .filter(filter)
    .map((item) => ({ id: item.id, d: distance(item.embedding, q) }))
    .filter((row) => !Number.isNaN(row.d))
    .sort((a, b) => a.d - b.d);
  for (let i = 1; i <= k && i < sorted.length; i++) {
    if (sorted[i].d - sorted[i - 1].d < 1e-9) throw new Error(`rows ${sorted[i - 1].id} and ${sorted[i].id} tie`);
  }
  return sorted.slice(0, k).map((row) => row.id);
}
