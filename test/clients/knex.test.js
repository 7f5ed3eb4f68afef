// Knex with pgvector's column types and distances.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cosine, items, nearest, query } from './lib/items.js';

import Knex from 'knex';
import pgvector from 'pgvector/knex';
import { SparseVector } from 'pgvector';

const knex = Knex({ client: 'pg', connection: {} });
await knex.schema.enableExtension('vecann');
test.after(() => knex.destroy());

test('creates a table, inserts and indexes', async () => {
  await knex.schema.createTable('items', (table) => {
    table.bigInteger('id').primary();
    table.text('category');
    table.vector('embedding', 3);
    table.halfvec('half', 3);
    table.sparsevec('sparse', 3);
    table.specificType('bits', 'bit(8)');
  });
  await knex('items').insert(items.map((item) => ({
    id: item.id,
    category: item.category,
    embedding: pgvector.toSql(item.embedding),
    half: pgvector.toSql(item.embedding),
    sparse: pgvector.toSql(new SparseVector(item.embedding)),
    bits: item.bits,
  })));
  await knex.schema.alterTable('items', (table) => {
    table.index(knex.raw('embedding vector_l2_ops'), 'items_embedding', 'hnsw');
    table.index(knex.raw('half halfvec_cosine_ops'), 'items_half', 'hnsw');
  });
  const { rows } = await knex.raw("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%'");
  assert.equal(rows[0].count, '2');
});

test('finds the nearest rows', async () => {
  const rows = await knex('items').orderBy(knex.l2Distance('embedding', query)).limit(5);
  assert.deepEqual(rows.map((row) => Number(row.id)), nearest(5));
  const sparse = await knex('items').orderBy(knex.l2Distance('sparse', new SparseVector(query))).limit(5);
  assert.deepEqual(sparse.map((row) => Number(row.id)), nearest(5));
  const bits = await knex('items').orderBy(knex.hammingDistance('bits', items[6].bits)).limit(1);
  assert.equal(bits[0].bits, items[6].bits);
});

test('finds them under a filter', async () => {
  const rows = await knex('items')
    .select('id')
    .where({ category: 'plum' })
    .whereNot('id', 3)
    .orderBy(knex.cosineDistance('half', query))
    .limit(5);
  assert.deepEqual(rows.map((row) => Number(row.id)),
    nearest(5, { distance: cosine, filter: (item) => item.category === 'plum' && item.id !== 3 }));
});

test('reads every type back as it was written', async () => {
  const rows = await knex('items').orderBy('id');
  for (const [i, row] of rows.entries()) {
    assert.deepEqual(pgvector.fromSql(row.embedding), items[i].embedding);
    assert.deepEqual(pgvector.fromSql(row.half), items[i].embedding);
    // copied: of {}/3 this client makes an array with a property more
    assert.deepEqual([...pgvector.fromSql(row.sparse).toArray()], items[i].embedding);
    assert.equal(row.bits, items[i].bits);
  }
});

test('a transaction that is rolled back leaves nothing', async () => {
  await assert.rejects(knex.transaction(async (trx) => {
    await trx('items').insert({ id: 1000, embedding: pgvector.toSql(query) });
    const [row] = await trx('items').orderBy(knex.l2Distance('embedding', query)).limit(1);
    assert.equal(row.id, '1000');
    throw new Error('no');
  }), /^Error: no$/);
  const [row] = await knex('items').orderBy(knex.l2Distance('embedding', query)).limit(1);
  assert.equal(Number(row.id), nearest(1)[0]);
});
