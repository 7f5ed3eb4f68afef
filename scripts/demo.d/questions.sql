-- Questions to measure with: titles of sections, in no order, each folded in as a question is. The distance of the tenth
-- passage in an exact search decides later what counts as found; passages as far away as that one (copies) all count.
CREATE TABLE question AS
SELECT (row_number() OVER (ORDER BY md5(section)))::int AS id, section AS words, embedding
FROM (SELECT DISTINCT ON (e.embedding) section, e.embedding
      FROM (SELECT DISTINCT section FROM manual) AS s CROSS JOIN LATERAL (SELECT embed(section) AS embedding) AS e
      WHERE e.embedding IS NOT NULL) AS t
ORDER BY id
LIMIT :questions;
ALTER TABLE question ADD PRIMARY KEY (id);

SET enable_indexscan = off;
ALTER TABLE question ADD COLUMN tenth double precision;
UPDATE question AS q
SET tenth = (SELECT max(distance) FROM (SELECT embedding <=> q.embedding AS distance
                                        FROM manual ORDER BY distance LIMIT 10) AS nearest);
VACUUM ANALYZE question;
