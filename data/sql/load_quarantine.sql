-- The same row refused for the same reason again (a delivery asked for twice) is kept once.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * FROM read_parquet($files)
QUALIFY row_number() OVER (
    PARTITION BY symbol, ts, verdict, reason, row, provider, feed ORDER BY known_at
) = 1;

INSERT INTO quarantine BY NAME
SELECT n.* FROM incoming n
WHERE NOT EXISTS (
    SELECT 1 FROM quarantine q
    WHERE q.symbol IS NOT DISTINCT FROM n.symbol AND q.ts IS NOT DISTINCT FROM n.ts
      AND q.verdict = n.verdict AND q.reason = n.reason AND q.row = n.row
      AND q.provider = n.provider AND q.feed = n.feed
)
ORDER BY n.known_at;
