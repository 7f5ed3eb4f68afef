// Drizzle ORM: its own column types vector, halfvec, sparsevec and bit, its distance functions, indexes and filters.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cosine, items, nearest, query } from './lib/items.js';

import pg from 'pg';
import { and, asc, cosineDistance, desc, eq, gt, hammingDistance, l2Distance, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, bit, halfvec, index, pgTable, sparsevec, text, vector } from 'drizzle-orm/pg-core';
import { getTableConfig } from 'drizzle-orm/pg-core';

const table = pgTable('items', {
  id: bigint('id', { mode: 'number' }).primaryKey(),
  category: text('category'),
  embedding: vector('embedding', { dimensions: 3 }),
  half: halfvec('half', { dimensions: 3 }),
  sparse: sparsevec('sparse', { dimensions: 3 }),
  bits: bit('bits', { dimensions: 8 }),
}, (t) => [
  index('items_embedding').using('hnsw', t.embedding.op('vector_l2_ops')).with({ m: 16, ef_construction: 64 }),
  index('items_half').using('hnsw', t.half.op('halfvec_cosine_ops')),
]);

const pool = new pg.Pool();
const db = drizzle(pool);
await db.execute(sql`CREATE EXTENSION IF NOT EXISTS vecann`);
test.after(() => pool.end());

// What drizzle-kit writes into a migration, of the columns and indexes that the table declares.
async function migrate() {
  const { name, columns, indexes } = getTableConfig(table);
  await db.execute(sql.raw(`CREATE TABLE ${name} (${columns.map((c) => `${c.name} ${c.getSQLType()}`).join(', ')})`));
  for (const { config } of indexes) {
    const [{ name: column, indexConfig }] = config.columns;
    const options = Object.entries(config.with ?? {}).map(([key, value]) => `${key}=${value}`).join(',');
    await db.execute(sql.raw(`CREATE INDEX "${config.name}" ON "${name}" USING ${config.method}
      ("${column}" ${indexConfig.opClass})${options ? ` WITH (${options})` : ''}`));
  }
}

test('creates a table, indexes and inserts', async () => {
  await migrate();
  await db.insert(table).values(items.map(({ id, category, embedding, bits }) => ({
    id, category, embedding, half: embedding, bits,
    sparse: `{${embedding.map((x, i) => `${i + 1}:${x}`).join(',')}}/3`,
  })));
  assert.equal(await db.$count(table), items.length);
});

test('finds the nearest rows', async () => {
  const found = await db.select({ id: table.id, distance: l2Distance(table.embedding, query) })
    .from(table)
    .orderBy(l2Distance(table.embedding, query))
    .limit(5);
  assert.deepEqual(found.map((row) => row.id), nearest(5));
});

test('finds them under filters', async () => {
  const similarity = sql`1 - (${cosineDistance(table.half, query)})`;
  const found = await db.select({ id: table.id, similarity })
    .from(table)
    .where(and(eq(table.category, 'pear'), gt(similarity, 0.5)))
    .orderBy(asc(cosineDistance(table.half, query)))
    .limit(5);
  assert.deepEqual(found.map((row) => row.id),
    nearest(5, { distance: cosine, filter: (item) => item.category === 'pear' }));
  const farthest = await db.select({ id: table.id }).from(table)
    .where(eq(table.category, 'pear')).orderBy(desc(l2Distance(table.embedding, query))).limit(1);
  assert.deepEqual(farthest[0].id, nearest(items.length / 3, { filter: (item) => item.category === 'pear' }).pop());
});

test('reads every type back as it was written', async () => {
  const rows = await db.select().from(table).orderBy(table.id);
  for (const [i, row] of rows.entries()) {
    assert.deepEqual(row.embedding, items[i].embedding);
    assert.deepEqual(row.half, items[i].embedding);
    const stored = items[i].embedding.flatMap((x, d) => (x === 0 ? [] : [`${d + 1}:${x}`]));
    assert.equal(row.sparse, `{${stored.join(',')}}/3`);
    assert.equal(row.bits, items[i].bits);
  }
  const [same] = await db.select({ id: table.id }).from(table)
    .orderBy(hammingDistance(table.bits, sql`${items[9].bits}::bit(8)`), table.id).limit(1);
  assert.equal(same.id, 10);
});

test('updates and deletes', async () => {
  await db.update(table).set({ embedding: query }).where(eq(table.id, 1));
  const [row] = await db.select().from(table).orderBy(l2Distance(table.embedding, query)).limit(1);
  assert.deepEqual([row.id, row.embedding], [1, query]);
  await db.delete(table).where(eq(table.id, 1));
  const [next] = await db.select().from(table).orderBy(l2Distance(table.embedding, query)).limit(1);
  assert.equal(next.id, nearest(1)[0]);
});
