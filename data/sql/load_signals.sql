-- A strategy that says the same of the same bar again (a restart) adds nothing; another opinion does.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * FROM read_parquet($files)
QUALIFY row_number() OVER (
    PARTITION BY account, strategy, symbol, ts, target, price ORDER BY recorded_at
) = 1;

INSERT INTO signals BY NAME
SELECT n.* FROM incoming n
WHERE NOT EXISTS (
    SELECT 1 FROM signals s
    WHERE s.ts >= (SELECT min(ts) FROM incoming) AND s.ts <= (SELECT max(ts) FROM incoming)
      AND s.account = n.account AND s.strategy = n.strategy AND s.symbol = n.symbol
      AND s.ts = n.ts AND s.target = n.target AND s.price = n.price
)
ORDER BY n.ts, n.strategy, n.symbol;
