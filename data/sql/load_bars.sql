-- A print is the same print if source, revision and every value agree: a restart that delivers it again
-- adds nothing and the first known_at stays, which is when the desk did know it.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * FROM read_parquet($files)
QUALIFY row_number() OVER (
    PARTITION BY symbol, ts, timeframe, provider, feed, revision, open, high, low, close, volume, vwap, trade_count
    ORDER BY known_at
) = 1;

-- The bounds are subqueries without correlation: evaluated once, and pushed into the scan of bar_prints.
INSERT INTO bar_prints BY NAME
SELECT n.* FROM incoming n
WHERE NOT EXISTS (
    SELECT 1 FROM bar_prints b
    WHERE b.ts >= (SELECT min(ts) FROM incoming) AND b.ts <= (SELECT max(ts) FROM incoming)
      AND b.symbol = n.symbol AND b.ts = n.ts AND b.timeframe = n.timeframe
      AND b.provider = n.provider AND b.feed = n.feed AND b.revision = n.revision
      AND b.open = n.open AND b.high = n.high AND b.low = n.low AND b.close = n.close AND b.volume = n.volume
      AND b.vwap IS NOT DISTINCT FROM n.vwap AND b.trade_count IS NOT DISTINCT FROM n.trade_count
)
ORDER BY n.ts, n.symbol;
