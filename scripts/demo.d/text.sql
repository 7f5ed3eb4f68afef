-- What makes a text into the words that count, for passages and questions alike. "back up" loses its "up" as a stop
-- word, so the verb is spelled as the noun first.
CREATE FUNCTION words(text) RETURNS tsvector IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT to_tsvector('english', regexp_replace($1, '\mback(s|ed|ing)?[ -]up\M', 'backup', 'gi'));
END;

-- The first characters of a text on one line.
CREATE FUNCTION short(text, characters int DEFAULT 66) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    WITH line AS (SELECT regexp_replace(left($1, 4 * $2), '\s+', ' ', 'g') AS t)
    SELECT CASE WHEN length(t) > $2 THEN left(t, $2 - 3) || '...' ELSE t END FROM line;
END;
