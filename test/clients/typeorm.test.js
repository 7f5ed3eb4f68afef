// TypeORM: its own column types vector and halfvec, the query builder, and its CREATE EXTENSION "vector", which wants the
// stub of that name.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import test from 'node:test';
import { cosine, items, nearest, query } from './lib/items.js';

import { DataSource, EntitySchema } from 'typeorm';

const Item = new EntitySchema({
  name: 'Item',
  tableName: 'items',
  columns: {
    id: { type: 'bigint', primary: true },
    category: { type: 'text' },
    embedding: { type: 'vector', length: 3 },
    half: { type: 'halfvec', length: 3, nullable: true },
  },
  // made by SQL; without this, synchronize would drop them again
  indices: [
    { name: 'items_embedding', columns: ['embedding'], synchronize: false },
    { name: 'items_half', columns: ['half'], synchronize: false },
  ],
});

const dataSource = new DataSource({
  type: 'postgres',
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  username: process.env.PGUSER,
  database: process.env.PGDATABASE,
  entities: [Item],
  synchronize: true,
});
await dataSource.initialize();
const repository = dataSource.getRepository(Item);
test.after(() => dataSource.destroy());

test('asked for the extension by the name that it knows', async () => {
  const rows = await dataSource.query("SELECT extname FROM pg_extension WHERE extname IN ('vecann', 'vector') ORDER BY 1");
  assert.deepEqual(rows.map((row) => row.extname), ['vecann', 'vector']);
  const [column] = await dataSource.query("SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'half'");
  assert.equal(column.type, 'halfvec(3)');
});

test('inserts and indexes', async () => {
  await repository.insert(items.map(({ id, category, embedding }) => ({ id, category, embedding, half: embedding })));
  await dataSource.query('CREATE INDEX items_embedding ON items USING hnsw (embedding vector_l2_ops)');
  await dataSource.query('CREATE INDEX items_half ON items USING hnsw (half halfvec_cosine_ops)');
  assert.equal(await repository.count(), items.length);
});

test('finds the nearest rows', async () => {
  const rows = await repository.createQueryBuilder('item')
    .orderBy('item.embedding <-> :query')
    .setParameter('query', JSON.stringify(query))
    .limit(5)
    .getMany();
  assert.deepEqual(rows.map((row) => Number(row.id)), nearest(5));
});

test('finds them under a filter', async () => {
  const rows = await repository.createQueryBuilder('item')
    .where('item.category = :category', { category: 'apple' })
    .orderBy('item.half <=> :query')
    .setParameter('query', JSON.stringify(query))
    .limit(5)
    .getMany();
  assert.deepEqual(rows.map((row) => Number(row.id)),
    nearest(5, { distance: cosine, filter: (item) => item.category === 'apple' }));
});

test('reads every type back as it was written', async () => {
  const rows = await repository.find({ order: { id: 'ASC' } });
  for (const [i, row] of rows.entries()) {
    assert.deepEqual(row.embedding, items[i].embedding);
    assert.deepEqual(row.half, items[i].embedding);
  }
});

test('saves a changed entity', async () => {
  const item = await repository.findOneBy({ id: 2 });
  item.embedding = query;
  await repository.save(item);
  const row = await repository.createQueryBuilder('item').orderBy('item.embedding <-> :query')
    .setParameter('query', JSON.stringify(query)).limit(1).getOne();
  assert.deepEqual([row.id, row.embedding], ['2', query]);
});

test('a second start with synchronize changes nothing', async () => {
  const log = await dataSource.driver.createSchemaBuilder().log();
  assert.deepEqual(log.upQueries.map((q) => q.query), []);
});
