// node-postgres with pgvector's types: all types, text parameters, prepared statements, COPY in text and binary.
import assert from 'node:assert/strict';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import test from 'node:test';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { cosine, items, nearest, query } from './lib/items.js';

import pg from 'pg';
import pgvector from 'pgvector/pg';
import { SparseVector } from 'pgvector';

const client = new pg.Client();
await client.connect();
await client.query('CREATE EXTENSION IF NOT EXISTS vecann');
await pgvector.registerTypes(client);
test.after(() => client.end());

test('creates a table, inserts and indexes', async () => {
  await client.query(`CREATE TABLE items (id bigint PRIMARY KEY, category text, embedding vector(3),
                                          half halfvec(3), sparse sparsevec(3), bits bit(8))`);
  for (const item of items) {
    await client.query(
      'INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6)',
      [item.id, item.category, pgvector.toSql(item.embedding), pgvector.toSql(item.embedding),
        new SparseVector(item.embedding), item.bits]
    );
  }
  await client.query('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)');
  await client.query('CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops)');
  await client.query('CREATE INDEX ON items USING hnsw (half halfvec_l2_ops) WITH (m = 8, ef_construction = 32)');
});

test('finds the nearest rows', async () => {
  const { rows } = await client.query(
    'SELECT id, embedding <-> $1 AS distance FROM items ORDER BY embedding <-> $1 LIMIT 5',
    [pgvector.toSql(query)]
  );
  assert.deepEqual(rows.map((row) => Number(row.id)), nearest(5));
  for (const column of ['half', 'sparse']) {
    const value = column === 'sparse' ? new SparseVector(query) : pgvector.toSql(query);
    const found = await client.query(`SELECT id FROM items ORDER BY ${column} <-> $1 LIMIT 5`, [value]);
    assert.deepEqual(found.rows.map((row) => Number(row.id)), nearest(5), column);
  }
});

test('finds them under a filter, by a prepared statement', async () => {
  for (const category of ['apple', 'pear', 'plum']) {
    const { rows } = await client.query({
      name: 'nearest-of-category',
      text: 'SELECT id FROM items WHERE category = $2 ORDER BY embedding <=> $1 LIMIT 5',
      values: [pgvector.toSql(query), category],
    });
    assert.deepEqual(rows.map((row) => Number(row.id)),
      nearest(5, { distance: cosine, filter: (item) => item.category === category }));
  }
});

test('reads every type back as it was written', async () => {
  const { rows } = await client.query('SELECT * FROM items ORDER BY id');
  assert.equal(rows.length, items.length);
  for (const [i, row] of rows.entries()) {
    assert.deepEqual(row.embedding, items[i].embedding);
    assert.deepEqual(row.half, items[i].embedding);
    // copied: of {}/3 this client makes an array with a property more
    assert.deepEqual([...row.sparse.toArray()], items[i].embedding);
    assert.equal(row.bits, items[i].bits);
  }
});

test('aggregates, bit distances and settings', async () => {
  const { rows: [row] } = await client.query('SELECT avg(embedding), sum(embedding) FROM items WHERE category = $1', ['plum']);
  const plums = items.filter((item) => item.category === 'plum');
  const sum = [0, 1, 2].map((d) => plums.reduce((total, item) => total + item.embedding[d], 0));
  assert.deepEqual(row.sum, sum);
  assert.deepEqual(row.avg.map(Math.fround), sum.map((x) => Math.fround(x / plums.length)));
  const bits = await client.query('SELECT id, bits <~> $1::bit(8) AS d FROM items ORDER BY d, id LIMIT 1', [items[4].bits]);
  assert.deepEqual(bits.rows[0], { id: '5', d: 0 });
  await client.query('BEGIN');
  await client.query('SET LOCAL hnsw.ef_search = 100');
  assert.equal((await client.query('SHOW hnsw.ef_search')).rows[0]['hnsw.ef_search'], '100');
  await client.query('COMMIT');
});

test('copies in and out', async () => {
  await client.query('CREATE TABLE copied (id bigint, embedding vector(3))');
  const lines = items.map((item) => `${item.id}\t${pgvector.toSql(item.embedding)}\n`);
  await pipeline(Readable.from(lines), client.query(copyFrom('COPY copied FROM STDIN')));
  const binary = [];
  for await (const chunk of client.query(copyTo('COPY copied TO STDOUT (FORMAT binary)'))) binary.push(chunk);
  await client.query('TRUNCATE copied');
  await pipeline(Readable.from(binary), client.query(copyFrom('COPY copied FROM STDIN (FORMAT binary)')));
  const { rows } = await client.query('SELECT embedding FROM copied ORDER BY id');
  assert.deepEqual(rows.map((row) => row.embedding), items.map((item) => item.embedding));
});

test('tells what is wrong, with an SQLSTATE', async () => {
  const wrong = async (text, values, code) =>
    assert.rejects(client.query(text, values), (error) => error.code === code);
  await wrong('INSERT INTO items (id, embedding) VALUES (1000, $1)', ['[1,2]'], '22000');
  await wrong('INSERT INTO items (id, embedding) VALUES (1000, $1)', ['[1,2,x]'], '22P02');
  await wrong('SELECT $1::halfvec', ['[1e9]'], '22003');
  await wrong('SELECT embedding <-> $1 FROM items', ['[1,2]'], '22000');
});
