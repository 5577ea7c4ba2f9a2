-- The latest print of each bar. The filter on symbol, ts or timeframe of a query reaches the scan below
-- the window, because they are what it is partitioned by.
CREATE OR REPLACE VIEW bars AS
SELECT symbol, ts, timeframe, open, high, low, close, volume, vwap, trade_count, provider, feed, known_at, revision
FROM bar_prints
QUALIFY row_number() OVER (
    PARTITION BY symbol, ts, timeframe ORDER BY known_at DESC, revision DESC, provider, feed
) = 1;

-- What was known at an instant: the latest print of each bar among those known by then.
CREATE OR REPLACE MACRO bars_as_of(t) AS TABLE
SELECT symbol, ts, timeframe, open, high, low, close, volume, vwap, trade_count, provider, feed, known_at, revision
FROM bar_prints
WHERE known_at <= CAST(t AS TIMESTAMPTZ)
QUALIFY row_number() OVER (
    PARTITION BY symbol, ts, timeframe ORDER BY known_at DESC, revision DESC, provider, feed
) = 1;
