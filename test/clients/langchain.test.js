// LangChain's PGVectorStore, with an embedding that needs no model: deterministic vectors of word counts.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cosine } from './lib/items.js';

import pg from 'pg';
import { PGVectorStore } from '@langchain/community/vectorstores/pgvector';
import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';

const words = ['index', 'table', 'query', 'vacuum', 'lock', 'backup', 'vector', 'graph'];
class WordCounts extends Embeddings {
  async embedQuery(text) {
    return words.map((word, i) => text.split(word).length - 1 + (i + 1) / 64);
  }
  async embedDocuments(texts) {
    return Promise.all(texts.map((text) => this.embedQuery(text)));
  }
}

const documents = words.flatMap((a, i) => words.map((b, j) => new Document({
  pageContent: `${a} ${a} ${b} ${words[(i * 3 + j * 5) % 8]}`,
  metadata: { chapter: i, section: j, kind: j % 2 ? 'note' : 'text' },
})));

const embeddings = new WordCounts({});
const pool = new pg.Pool();
const store = await PGVectorStore.initialize(embeddings, {
  pool,
  tableName: 'passages',
  dimensions: words.length,
  distanceStrategy: 'cosine',
});
test.after(() => store.end());

// The texts nearest to a question, exactly; texts as far as each other in order of their names.
async function exact(question, k, filter = () => true) {
  const q = await embeddings.embedQuery(question);
  const vectors = await embeddings.embedDocuments(documents.map((d) => d.pageContent));
  return documents
    .map((d, i) => ({ d, distance: cosine(vectors[i], q) }))
    .filter(({ d }) => filter(d.metadata))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
    .map(({ distance }) => distance.toFixed(5));
}
const distances = (found) => found.map(([, distance]) => distance.toFixed(5));

test('adds documents and indexes them', async () => {
  await store.addDocuments(documents);
  await store.createHnswIndex({ dimensions: words.length, m: 16, efConstruction: 64 });
  const { rows } = await pool.query("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%'");
  assert.equal(rows.length, 1);
});

test('searches by similarity', async () => {
  const question = 'which index does a query lock';
  const found = await store.similaritySearchWithScore(question, 6);
  assert.deepEqual(distances(found), await exact(question, 6));
});

test('searches under filters of the metadata', async () => {
  const question = 'vacuum the table';
  let found = await store.similaritySearchWithScore(question, 5, { kind: 'note' });
  assert.deepEqual(distances(found), await exact(question, 5, (m) => m.kind === 'note'));
  assert.ok(found.every(([document]) => document.metadata.kind === 'note'));
  found = await store.similaritySearchWithScore(question, 5, { chapter: { in: [1, 3] }, section: { lt: 4 } });
  assert.deepEqual(distances(found), await exact(question, 5, (m) => [1, 3].includes(m.chapter) && m.section < 4));
});

test('is a retriever, and deletes', async () => {
  const retriever = store.asRetriever({ k: 1 });
  const [before] = await retriever.invoke('backup backup backup');
  assert.match(before.pageContent, /^backup backup/);
  await store.delete({ filter: { chapter: 5 } });
  const { rows } = await pool.query('SELECT count(*) FROM passages');
  assert.equal(Number(rows[0].count), documents.length - words.length);
  const [after] = await retriever.invoke('backup backup backup');
  assert.notEqual(after.metadata.chapter, 5);
});
