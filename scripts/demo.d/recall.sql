-- Of the ten passages an index scan returns, how many are no farther than the tenth of the exact search: the mean.
-- Distances that differ by rounding only are equal.
SELECT to_char(avg(found) / 10, '0.000')
FROM (SELECT count(*) FILTER (WHERE nearest.distance <= q.tenth + 1e-6) AS found
      FROM question AS q
      CROSS JOIN LATERAL (SELECT m.embedding <=> q.embedding AS distance
                          FROM manual AS m ORDER BY m.embedding <=> q.embedding LIMIT 10) AS nearest
      GROUP BY q.id) AS per_question;
