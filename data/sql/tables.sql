-- The warehouse's tables. Columns are a promise to users: docs/data.md describes each one, and a test
-- keeps both in step. No primary key and no index: DuckDB keeps them in memory and checks them row by
-- row, which a billion bars would not bear; loads are idempotent by anti-joins instead.

CREATE TABLE IF NOT EXISTS bar_prints (
    symbol       VARCHAR NOT NULL,
    ts           TIMESTAMPTZ NOT NULL,
    timeframe    VARCHAR NOT NULL,
    open         DOUBLE NOT NULL,
    high         DOUBLE NOT NULL,
    low          DOUBLE NOT NULL,
    close        DOUBLE NOT NULL,
    volume       BIGINT NOT NULL,
    vwap         DOUBLE,
    trade_count  BIGINT,
    provider     VARCHAR NOT NULL,
    feed         VARCHAR NOT NULL,
    known_at     TIMESTAMPTZ NOT NULL,
    revision     INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS quarantine (
    symbol       VARCHAR,
    ts           TIMESTAMPTZ,
    verdict      VARCHAR NOT NULL,
    reason       VARCHAR NOT NULL,
    detail       VARCHAR NOT NULL,
    row          VARCHAR NOT NULL,
    provider     VARCHAR NOT NULL,
    feed         VARCHAR NOT NULL,
    known_at     TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS signals (
    account      VARCHAR NOT NULL,
    strategy     VARCHAR NOT NULL,
    symbol       VARCHAR NOT NULL,
    ts           TIMESTAMPTZ NOT NULL,
    target       DOUBLE NOT NULL,
    price        DOUBLE NOT NULL,
    reason       VARCHAR NOT NULL,
    recorded_at  TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS decisions (
    account          VARCHAR NOT NULL,
    seq              BIGINT NOT NULL,
    decided_at       TIMESTAMPTZ NOT NULL,
    session_date     DATE NOT NULL,
    strategy         VARCHAR NOT NULL,
    symbol           VARCHAR NOT NULL,
    side             VARCHAR NOT NULL,
    qty              DECIMAL(19,9) NOT NULL,
    order_type       VARCHAR NOT NULL,
    limit_price      DECIMAL(18,6),
    stop_price       DECIMAL(18,6),
    reference_price  DECIMAL(18,6) NOT NULL,
    purpose          VARCHAR NOT NULL,
    signal_reason    VARCHAR NOT NULL,
    bar_ts           TIMESTAMPTZ NOT NULL,
    client_order_id  VARCHAR NOT NULL,
    correlation_id   VARCHAR NOT NULL,
    approved         BOOLEAN NOT NULL,
    code             VARCHAR,
    number           DECIMAL(28,9),
    "limit"          DECIMAL(28,9),
    message          VARCHAR,
    checks           VARCHAR
);

CREATE TABLE IF NOT EXISTS orders (
    account              VARCHAR NOT NULL,
    client_order_id      VARCHAR NOT NULL,
    broker_order_id      VARCHAR,
    correlation_id       VARCHAR NOT NULL,
    strategy             VARCHAR NOT NULL,
    symbol               VARCHAR NOT NULL,
    side                 VARCHAR NOT NULL,
    qty                  DECIMAL(19,9) NOT NULL,
    order_type           VARCHAR NOT NULL,
    time_in_force        VARCHAR NOT NULL,
    limit_price          DECIMAL(18,6),
    stop_price           DECIMAL(18,6),
    purpose              VARCHAR NOT NULL,
    reference_price      DECIMAL(18,6) NOT NULL,
    bar_ts               TIMESTAMPTZ NOT NULL,
    session_date         DATE NOT NULL,
    attempt              INTEGER NOT NULL,
    reason               VARCHAR NOT NULL,
    state                VARCHAR NOT NULL,
    filled_qty           DECIMAL(19,9) NOT NULL,
    filled_avg_price     DECIMAL(18,6),
    fees                 DECIMAL(18,6) NOT NULL,
    planned_at           TIMESTAMPTZ NOT NULL,
    changed_at           TIMESTAMPTZ NOT NULL,
    cancel_requested_at  TIMESTAMPTZ,
    message              VARCHAR,
    last_seq             BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS fills (
    account          VARCHAR NOT NULL,
    seq              BIGINT NOT NULL,
    execution_id     VARCHAR NOT NULL,
    client_order_id  VARCHAR NOT NULL,
    broker_order_id  VARCHAR NOT NULL,
    strategy         VARCHAR NOT NULL,
    symbol           VARCHAR NOT NULL,
    side             VARCHAR NOT NULL,
    qty              DECIMAL(19,9) NOT NULL,
    price            DECIMAL(18,6) NOT NULL,
    cum_qty          DECIMAL(19,9),
    fee              DECIMAL(18,6) NOT NULL,
    filled_at        TIMESTAMPTZ NOT NULL,
    session_date     DATE NOT NULL,
    source           VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS adjustments (
    account       VARCHAR NOT NULL,
    seq           BIGINT NOT NULL,
    adjusted_at   TIMESTAMPTZ NOT NULL,
    session_date  DATE NOT NULL,
    kind          VARCHAR NOT NULL,
    strategy      VARCHAR,
    symbol        VARCHAR,
    qty_change    DECIMAL(19,9),
    price         DECIMAL(18,6),
    amount        DECIMAL(18,6),
    cause         VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS positions (
    account       VARCHAR NOT NULL,
    session_date  DATE NOT NULL,
    strategy      VARCHAR NOT NULL,
    symbol        VARCHAR NOT NULL,
    qty           DECIMAL(19,9) NOT NULL,
    avg_price     DECIMAL(18,6) NOT NULL,
    realized_pnl  DECIMAL(18,6) NOT NULL,
    fees          DECIMAL(18,6) NOT NULL
);

CREATE TABLE IF NOT EXISTS equity (
    account         VARCHAR NOT NULL,
    session_date    DATE NOT NULL,
    bar_ts          TIMESTAMPTZ NOT NULL,
    equity          DECIMAL(18,6) NOT NULL,
    cash            DECIMAL(18,6) NOT NULL,
    realized_pnl    DECIMAL(18,6) NOT NULL,
    unrealized_pnl  DECIMAL(18,6) NOT NULL,
    fees            DECIMAL(18,6) NOT NULL,
    gross           DECIMAL(18,6) NOT NULL,
    net             DECIMAL(18,6) NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL,
    last_seq        BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS sessions (
    account        VARCHAR NOT NULL,
    session_date   DATE NOT NULL,
    runs           INTEGER NOT NULL,
    run_id         VARCHAR NOT NULL,
    started_at     TIMESTAMPTZ NOT NULL,
    ended_at       TIMESTAMPTZ,
    cause          VARCHAR,
    strategies     VARCHAR[] NOT NULL,
    symbols        VARCHAR[] NOT NULL,
    settings_hash  VARCHAR NOT NULL,
    equity_start   DECIMAL(18,6) NOT NULL,
    closed_at      TIMESTAMPTZ,
    equity_end     DECIMAL(18,6),
    cash_end       DECIMAL(18,6),
    realized_pnl   DECIMAL(18,6),
    fees           DECIMAL(18,6),
    first_seq      BIGINT NOT NULL,
    last_seq       BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS breaks (
    account       VARCHAR NOT NULL,
    break_id      VARCHAR NOT NULL,
    session_date  DATE NOT NULL,
    kind          VARCHAR NOT NULL,
    key           VARCHAR NOT NULL,
    ours          DECIMAL(28,9) NOT NULL,
    theirs        DECIMAL(28,9) NOT NULL,
    notional_usd  DECIMAL(18,6) NOT NULL,
    detail        VARCHAR NOT NULL,
    found_at      TIMESTAMPTZ NOT NULL,
    resolved_at   TIMESTAMPTZ,
    how           VARCHAR,
    resolved_by   VARCHAR,
    cause         VARCHAR,
    last_seq      BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS published (
    account   VARCHAR NOT NULL,
    last_seq  BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS backtests (
    run_id              VARCHAR NOT NULL,
    engine              VARCHAR NOT NULL,
    strategy            VARCHAR NOT NULL,
    params              VARCHAR NOT NULL,
    symbols             VARCHAR[] NOT NULL,
    first_date          DATE NOT NULL,
    last_date           DATE NOT NULL,
    cash                DECIMAL(18,6) NOT NULL,
    size                VARCHAR NOT NULL,
    costs               VARCHAR NOT NULL,
    gate                BOOLEAN NOT NULL,
    close_out           BOOLEAN NOT NULL,
    settings_hash       VARCHAR NOT NULL,
    code_version        VARCHAR NOT NULL,
    data_hash           VARCHAR NOT NULL,
    seed                BIGINT NOT NULL,
    started_at          TIMESTAMPTZ NOT NULL,
    seconds             DOUBLE NOT NULL,
    bars                BIGINT NOT NULL,
    orders              BIGINT NOT NULL,
    fills               BIGINT NOT NULL,
    denied              BIGINT NOT NULL,
    orders_hash         VARCHAR NOT NULL,
    ledger_hash         VARCHAR NOT NULL,
    final_equity        DECIMAL(18,6) NOT NULL,
    total_return_frac   DOUBLE,
    annual_return_frac  DOUBLE,
    volatility_frac     DOUBLE,
    sharpe              DOUBLE,
    sortino             DOUBLE,
    calmar              DOUBLE,
    max_drawdown_frac   DOUBLE,
    exposed_frac        DOUBLE,
    trades              BIGINT NOT NULL,
    win_rate_frac       DOUBLE,
    profit_factor       DOUBLE,
    traded_usd          DOUBLE NOT NULL,
    slippage_usd        DOUBLE NOT NULL,
    spread_usd          DOUBLE NOT NULL,
    fees_usd            DOUBLE NOT NULL,
    borrow_usd          DOUBLE NOT NULL
);

CREATE TABLE IF NOT EXISTS backtest_fills (
    run_id           VARCHAR NOT NULL,
    seq              BIGINT NOT NULL,
    ts               TIMESTAMPTZ NOT NULL,
    filled_at        TIMESTAMPTZ NOT NULL,
    strategy         VARCHAR NOT NULL,
    symbol           VARCHAR NOT NULL,
    side             VARCHAR NOT NULL,
    qty              DECIMAL(19,9) NOT NULL,
    price            DECIMAL(18,6) NOT NULL,
    fee              DECIMAL(18,6) NOT NULL,
    reference_price  DECIMAL(18,6) NOT NULL,
    client_order_id  VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS backtest_trades (
    run_id       VARCHAR NOT NULL,
    seq          BIGINT NOT NULL,
    strategy     VARCHAR NOT NULL,
    symbol       VARCHAR NOT NULL,
    side         VARCHAR NOT NULL,
    entered_at   TIMESTAMPTZ NOT NULL,
    left_at      TIMESTAMPTZ,
    qty          DOUBLE NOT NULL,
    entry_price  DOUBLE NOT NULL,
    exit_price   DOUBLE NOT NULL,
    pnl          DOUBLE NOT NULL,
    fees         DOUBLE NOT NULL,
    mae          DOUBLE NOT NULL,
    mfe          DOUBLE NOT NULL,
    bars         BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS backtest_equity (
    run_id        VARCHAR NOT NULL,
    ts            TIMESTAMPTZ NOT NULL,
    session_date  DATE NOT NULL,
    equity        DOUBLE NOT NULL,
    gross         DOUBLE NOT NULL,
    net           DOUBLE NOT NULL
);

CREATE TABLE IF NOT EXISTS sweeps (
    sweep_id           VARCHAR NOT NULL,
    strategy           VARCHAR NOT NULL,
    params             VARCHAR NOT NULL,
    ranges             VARCHAR NOT NULL,
    method             VARCHAR NOT NULL,
    objective          VARCHAR NOT NULL,
    trials             BIGINT NOT NULL,
    tried              BIGINT NOT NULL,
    refused            BIGINT NOT NULL,
    symbols            VARCHAR[] NOT NULL,
    first_date         DATE NOT NULL,
    last_date          DATE NOT NULL,
    sessions           BIGINT NOT NULL,
    folds              BIGINT NOT NULL,
    purge              BIGINT NOT NULL,
    embargo            BIGINT NOT NULL,
    anchored           BOOLEAN NOT NULL,
    engine             VARCHAR NOT NULL,
    cash               DECIMAL(18,6) NOT NULL,
    size               VARCHAR NOT NULL,
    costs              VARCHAR NOT NULL,
    gate               BOOLEAN NOT NULL,
    close_out          BOOLEAN NOT NULL,
    settings_hash      VARCHAR NOT NULL,
    code_version       VARCHAR NOT NULL,
    data_hash          VARCHAR NOT NULL,
    seed               BIGINT NOT NULL,
    started_at         TIMESTAMPTZ NOT NULL,
    seconds            DOUBLE NOT NULL,
    bars               BIGINT NOT NULL,
    is_tested          BOOLEAN NOT NULL,
    pnl                DOUBLE NOT NULL,
    sharpe             DOUBLE,
    calmar             DOUBLE,
    max_drawdown_frac  DOUBLE,
    overfitting_frac   DOUBLE,
    truth              VARCHAR NOT NULL,
    luck               VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS sweep_trials (
    sweep_id                 VARCHAR NOT NULL,
    fold                     BIGINT NOT NULL,
    place                    BIGINT NOT NULL,
    params                   VARCHAR NOT NULL,
    train_first              DATE NOT NULL,
    train_last               DATE NOT NULL,
    test_first               DATE,
    test_last                DATE,
    is_best                  BOOLEAN NOT NULL,
    deflated_sharpe_frac     DOUBLE,
    train_trades             BIGINT NOT NULL,
    train_pnl                DOUBLE NOT NULL,
    train_sharpe             DOUBLE,
    train_calmar             DOUBLE,
    train_max_drawdown_frac  DOUBLE,
    test_trades              BIGINT NOT NULL,
    test_pnl                 DOUBLE NOT NULL,
    test_sharpe              DOUBLE,
    test_calmar              DOUBLE,
    test_max_drawdown_frac   DOUBLE
);
