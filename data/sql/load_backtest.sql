-- A run's id (and a sweep's) is a function of everything that decides its rows, so a run written again
-- replaces its own rows with the same; of two files of one run the later counts. One file holds all of a
-- run's rows of a table.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * EXCLUDE (filename) FROM read_parquet($files, filename = true)
QUALIFY filename = max(filename) OVER (PARTITION BY {key});

DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM incoming);

INSERT INTO {table} BY NAME SELECT * FROM incoming;
