//! The SQL engine through the statements API: values, types and errors, exactly.

use local_workspace::{LocalWorkspace, RUNNING_WAREHOUSE};
use serde_json::{Value, json};

use crate::client::{post, workspace};

fn run_with(workspace: &LocalWorkspace, sql: &str, parameters: &Value) -> Value {
    let body = json!({
        "statement": sql, "warehouse_id": RUNNING_WAREHOUSE, "wait_timeout": "30s",
        "parameters": parameters,
    });
    post(workspace, "/api/2.0/sql/statements", &body)
}

fn run(workspace: &LocalWorkspace, sql: &str) -> Value {
    run_with(workspace, sql, &json!([]))
}

fn rows_of(answer: &Value) -> Value {
    assert_eq!(answer["status"]["state"], "SUCCEEDED", "{answer}");
    answer["result"].get("data_array").cloned().unwrap_or_else(|| json!([]))
}

fn rows(workspace: &LocalWorkspace, sql: &str) -> Value {
    rows_of(&run(workspace, sql))
}

fn types(answer: &Value) -> Vec<String> {
    let columns = answer["manifest"]["schema"]["columns"].as_array().unwrap();
    columns.iter().map(|column| column["type_text"].as_str().unwrap().to_owned()).collect()
}

/// One value with its type.
fn value(workspace: &LocalWorkspace, expression: &str) -> (String, String) {
    let answer = run(workspace, &format!("SELECT {expression}"));
    let cell = rows_of(&answer)[0][0].clone();
    let text = cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    (text, types(&answer).remove(0))
}

fn error(workspace: &LocalWorkspace, sql: &str) -> (String, String) {
    let answer = run(workspace, sql);
    let status = &answer["status"];
    assert_eq!(status["state"], "FAILED", "{sql}: {answer}");
    assert_eq!(status["error"]["error_code"], "BAD_REQUEST", "{sql}: {answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&status["sql_state"]), text(&status["error"]["message"]))
}

#[test]
fn demo_orders_come_exactly_as_they_are() {
    let workspace = workspace();
    let answer = run(&workspace, "SELECT * FROM main.sales.orders ORDER BY order_id");
    assert_eq!(
        types(&answer),
        [
            "BIGINT",
            "STRING",
            "DECIMAL(12,2)",
            "TIMESTAMP",
            "BOOLEAN",
            "STRING",
            "ARRAY<STRUCT<sku: STRING, qty: INT>>",
        ]
    );
    let rows = rows_of(&answer);
    assert_eq!(
        rows[0],
        json!([
            "9007199254740993",
            "FR",
            "129.90",
            "2026-03-12T08:15:44.512Z",
            "true",
            null,
            "[{\"sku\":\"A-17\",\"qty\":2}]"
        ])
    );
    assert_eq!(rows[2], json!(["9007199254740995", null, "0.00", null, null, null, null]));
    assert_eq!(rows[5][2], "9999999999.99");
}

#[test]
fn values_have_the_types_of_databricks() {
    let workspace = workspace();
    let is = |expression: &str, text: &str, kind: &str| {
        assert_eq!(
            value(&workspace, expression),
            (text.to_owned(), kind.to_owned()),
            "{expression}"
        );
    };
    is("1", "1", "INT");
    is("9007199254740993", "9007199254740993", "BIGINT");
    is("1 + 1", "2", "INT");
    is("9007199254740993 + 1", "9007199254740994", "BIGINT");
    is("1.50", "1.50", "DECIMAL(3,2)");
    is("1.5 + 1", "2.5", "DECIMAL(3,1)");
    is("0.1 + 0.2", "0.3", "DECIMAL(2,1)");
    is("1e3", "1000.0", "DOUBLE");
    is("1 / 2", "0.5", "DOUBLE");
    is("7 % 3", "1", "INT");
    is("-9.99", "-9.99", "DECIMAL(3,2)");
    is("true AND NOT false", "true", "BOOLEAN");
    is("1 < 2", "true", "BOOLEAN");
    is("9.9 < 10", "true", "BOOLEAN");
    is("'a' || 'b'", "ab", "STRING");
    is("upper('ação')", "AÇÃO", "STRING");
    is("concat('a', NULL)", "null", "STRING");
    is("coalesce(NULL, 2)", "2", "INT");
    is("NULL", "null", "VOID");
    is("DATE'2026-03-12' + 20", "2026-04-01", "DATE");
    is("datediff(DATE'2026-03-12', DATE'2026-03-01')", "11", "INT");
    is("year(TIMESTAMP'2026-03-12 08:15:44')", "2026", "INT");
    is("CAST('2026-03-12T10:00:00+02:00' AS TIMESTAMP)", "2026-03-12T08:00:00.000Z", "TIMESTAMP");
    is("round(2.345, 2)", "2.35", "DECIMAL(4,2)");
    is("floor(-1.5)", "-2", "DECIMAL(2,0)");
    is("ceil(1.01)", "2", "DECIMAL(2,0)");
    is("round(1.25e0, 1)", "1.3", "DOUBLE");
    is("array(1, 2)", "[1,2]", "ARRAY<INT>");
    is("map('a', 1)", "{\"a\":1}", "MAP<STRING, INT>");
    is(
        "named_struct('a', true, 'b', 1.10)",
        "{\"a\":true,\"b\":1.10}",
        "STRUCT<a: BOOLEAN, b: DECIMAL(3,2)>",
    );
    is("array(named_struct('a', 5))[0].a", "5", "INT");
    is("current_date() - INTERVAL 1 DAY < current_date()", "true", "BOOLEAN");
    is("DATE'2026-01-31' + INTERVAL 1 MONTH", "2026-02-28", "DATE");
    is(
        "TIMESTAMP'2026-03-12 08:00:00' - INTERVAL 90 MINUTES",
        "2026-03-12T06:30:00.000Z",
        "TIMESTAMP",
    );
    is("extract(YEAR FROM DATE'2026-03-12')", "2026", "INT");
    is("current_user()", "ines.moreau@example.com", "STRING");
    is("if(1 = 1, 'yes', 'no')", "yes", "STRING");
    is("CASE WHEN 1 > 2 THEN 1 ELSE 2.5 END", "2.5", "DECIMAL(11,1)");
    is("try_cast('x' AS INT)", "null", "INT");
    is("'5' = 5", "true", "BOOLEAN");
    is("'abc' LIKE 'A%'", "false", "BOOLEAN");
    is("'abc' ILIKE 'A%'", "true", "BOOLEAN");
    is("2 IN (1, 2.0)", "true", "BOOLEAN");
}

#[test]
fn decimals_keep_thirty_eight_digits() {
    let workspace = workspace();
    let most = "99999999999999999999999999999999999.999";
    assert_eq!(value(&workspace, &format!("CAST('{most}' AS DECIMAL(38,3))")).0, most);
    // Spark gives up a digit of the fraction where 39 would be needed.
    let sum = value(
        &workspace,
        "CAST(12345678901234567890.12 AS DECIMAL(38,10)) + CAST(0.1234567891 AS DECIMAL(38,10))",
    );
    let expected = ("12345678901234567890.243456789".to_owned(), "DECIMAL(38,9)".to_owned());
    assert_eq!(sum, expected);
}

#[test]
fn aggregates_have_wider_types_and_exact_sums() {
    let workspace = workspace();
    let answer = run(
        &workspace,
        "SELECT country, count(*), sum(total) AS revenue, avg(total), max(total), min(order_id), sum(order_id % 10) \
         FROM main.sales.orders GROUP BY country ORDER BY revenue DESC",
    );
    assert_eq!(
        types(&answer),
        ["STRING", "BIGINT", "DECIMAL(22,2)", "DECIMAL(16,6)", "DECIMAL(12,2)", "BIGINT", "BIGINT"]
    );
    let rows = rows_of(&answer);
    assert_eq!(
        rows[0],
        json!([
            "PT",
            "2",
            "10000000054.24",
            "5000000027.120000",
            "9999999999.99",
            "9007199254740994",
            "12"
        ])
    );
    assert_eq!(rows[1][2], "1378.90");
    assert_eq!(rows[3], json!([null, "1", "0.00", "0.000000", "0.00", "9007199254740995", "5"]));
}

#[test]
fn decimals_are_ordered_by_value_not_by_text() {
    let workspace = workspace();
    let ordered =
        rows(&workspace, "SELECT x FROM VALUES (9.5), (10.25), (-2.0), (100.0) AS t(x) ORDER BY x");
    assert_eq!(ordered, json!([["-2.00"], ["9.50"], ["10.25"], ["100.00"]]));
    let distinct = rows(
        &workspace,
        "SELECT DISTINCT x FROM VALUES (1.5), (1.50), (2) AS t(x) ORDER BY 1 DESC",
    );
    assert_eq!(distinct, json!([["2.00"], ["1.50"]]));
    let most =
        rows(&workspace, "SELECT max(x), greatest(9.5, 10.5) FROM VALUES (9.5), (10.25) AS t(x)");
    assert_eq!(most, json!([["10.25", "10.5"]]));
}

#[test]
fn joins_ctes_subqueries_and_set_operations_work() {
    let workspace = workspace();
    let joined = rows(
        &workspace,
        "WITH big AS (SELECT * FROM main.sales.orders WHERE total > 50) \
         SELECT c.name, count(*) AS n FROM big JOIN main.sales.countries c ON big.country = c.code \
         GROUP BY ALL HAVING count(*) > 1 ORDER BY n DESC, c.name",
    );
    assert_eq!(joined, json!([["France", "2"], ["Portugal", "2"]]));
    let nested = rows(
        &workspace,
        "SELECT o.order_id, (SELECT name FROM main.sales.countries WHERE code = o.country) \
         FROM main.sales.orders o WHERE EXISTS (SELECT 1 FROM main.sales.countries WHERE code = o.country AND vat > 0.21) \
         AND o.total IN (SELECT total FROM main.sales.orders WHERE paid = false) ORDER BY 1 LIMIT 1 OFFSET 1",
    );
    assert_eq!(nested, json!([["9007199254740998", "Portugal"]]));
    let union =
        rows(&workspace, "SELECT 1 AS x UNION ALL SELECT 2.5 UNION SELECT 1 ORDER BY x DESC");
    assert_eq!(union, json!([["2.5"], ["1.0"]]));
    let window = rows(
        &workspace,
        "SELECT code, row_number() OVER (ORDER BY vat DESC) AS place, sum(CAST(vat AS DECIMAL(4,2))) OVER (ORDER BY code) \
         FROM main.sales.countries ORDER BY code",
    );
    assert_eq!(window, json!([["DE", "3", "0.19"], ["FR", "2", "0.39"], ["PT", "1", "0.62"]]));
    let exploded = rows(
        &workspace,
        "SELECT order_id, line.sku, line.qty FROM main.sales.orders LATERAL VIEW explode(lines) l AS line \
         WHERE order_id = 9007199254740996 ORDER BY line.qty",
    );
    assert_eq!(
        exploded,
        json!([["9007199254740996", "B-02", "1"], ["9007199254740996", "C-40", "12"]])
    );
}

#[test]
fn tables_can_be_made_changed_and_dropped() {
    let workspace = workspace();
    assert_eq!(
        run(&workspace, "CREATE TABLE main.default.t (id BIGINT, price DECIMAL(10,3), day DATE)")["status"]
            ["state"],
        "SUCCEEDED"
    );
    let inserted = run(&workspace, "INSERT INTO t (id, price) VALUES (1, 2.5), (2, 3)");
    assert_eq!(rows_of(&inserted), json!([["2", "2"]]));
    assert_eq!(inserted["manifest"]["schema"]["columns"][0]["name"], "num_affected_rows");
    assert_eq!(
        rows(&workspace, "UPDATE t SET price = price * 2, day = '2026-01-31' WHERE id = 2"),
        json!([["1"]])
    );
    assert_eq!(
        rows(&workspace, "SELECT * FROM t ORDER BY id"),
        json!([["1", "2.500", null], ["2", "6.000", "2026-01-31"]])
    );
    assert_eq!(rows(&workspace, "DELETE FROM t WHERE price < 5"), json!([["1"]]));
    run(&workspace, "CREATE OR REPLACE TABLE t AS SELECT id, price + 0.5 AS price FROM t");
    let replaced = run(&workspace, "SELECT * FROM t");
    assert_eq!(
        (rows_of(&replaced), types(&replaced)),
        (json!([["2", "6.500"]]), vec!["BIGINT".to_owned(), "DECIMAL(11,3)".to_owned()])
    );
    assert_eq!(
        rows(&workspace, "SHOW TABLES IN main.sales"),
        json!([["sales", "countries", "false"], ["sales", "orders", "false"]])
    );
    assert_eq!(
        rows(&workspace, "DESCRIBE TABLE t"),
        json!([["id", "bigint", null], ["price", "decimal(11,3)", null]])
    );
    assert_eq!(
        rows(
            &workspace,
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'default'"
        ),
        json!([["t"]])
    );
    run(&workspace, "DROP TABLE t");
    assert_eq!(error(&workspace, "SELECT * FROM t").0, "42P01");
}

#[test]
fn parameters_are_typed() {
    let workspace = workspace();
    let parameters = json!([
        { "name": "floor", "value": "50.00", "type": "DECIMAL(12,2)" },
        { "name": "country", "value": "FR" },
        { "name": "day", "type": "DATE" },
        { "name": "big", "value": "9007199254740993", "type": "BIGINT" },
    ]);
    let answer = run_with(
        &workspace,
        "SELECT order_id, :floor, :country, :day, :big, :floor + 1 FROM main.sales.orders \
         WHERE total >= :floor AND (country = :country OR :day IS NOT NULL) ORDER BY order_id",
        &parameters,
    );
    assert_eq!(
        rows_of(&answer),
        json!([
            ["9007199254740993", "50.00", "FR", null, "9007199254740993", "51.00"],
            ["9007199254740996", "50.00", "FR", null, "9007199254740993", "51.00"],
        ])
    );
    assert_eq!(
        types(&answer),
        ["BIGINT", "DECIMAL(12,2)", "STRING", "DATE", "BIGINT", "DECIMAL(13,2)"]
    );
    let quote = run_with(
        &workspace,
        "SELECT :x",
        &json!([{ "name": "x", "value": "'; DROP TABLE main.sales.orders; --" }]),
    );
    assert_eq!(rows_of(&quote)[0][0], "'; DROP TABLE main.sales.orders; --");
    let limit = run_with(
        &workspace,
        "SELECT id FROM range(10) LIMIT :n",
        &json!([{ "name": "n", "value": "2", "type": "INT" }]),
    );
    assert_eq!(rows_of(&limit), json!([["0"], ["1"]]));
    let bad =
        run_with(&workspace, "SELECT :n", &json!([{ "name": "n", "value": "two", "type": "INT" }]));
    assert_eq!(bad["status"]["sql_state"], "22018");
}

#[test]
fn failures_have_the_words_of_databricks() {
    let workspace = workspace();
    let (state, text) = error(&workspace, "SELECT * FROM main.sales.ordres");
    assert_eq!(state, "42P01");
    assert_eq!(
        text,
        "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`sales`.`ordres` cannot be found. SQLSTATE: 42P01; line 1 pos 14"
    );
    let missing = "CREATE TABLE main.default.r (id INT NOT NULL, v STRING) USING DELTA";
    assert_eq!(run(&workspace, missing)["status"]["state"], "SUCCEEDED");
    assert_eq!(error(&workspace, "INSERT INTO r VALUES (NULL, 'x')").0, "23502");
    let (state, text) = error(&workspace, "SELECT :x");
    assert_eq!(state, "42P02");
    assert!(text.starts_with("[UNBOUND_SQL_PARAMETER] Found the unbound parameter: x."), "{text}");
    let (state, text) = error(&workspace, "SELEC 1");
    assert_eq!(state, "42601");
    assert!(text.starts_with("[PARSE_SYNTAX_ERROR] Syntax error at or near 'SELEC'."), "{text}");
    let (state, text) = error(&workspace, "SELECT totl FROM main.sales.orders");
    assert_eq!(state, "42703");
    assert!(
        text.contains("`totl` cannot be resolved. Did you mean one of the following? [`order_id`"),
        "{text}"
    );
    let states = [
        ("SELECT 1 / 0", "22012"),
        ("SELECT 1.0 / 0", "22012"),
        ("SELECT 9223372036854775807 + 1", "22003"),
        ("SELECT 2147483647 + 1", "22003"),
        ("SELECT sum(x) FROM VALUES (9223372036854775807), (1) AS t(x)", "22003"),
        ("SELECT CAST('x' AS INT)", "22018"),
        ("SELECT CAST('2026-02-30' AS DATE)", "22018"),
        ("SELECT CAST(12345 AS DECIMAL(4,0))", "22003"),
        ("SELECT nosuch(1)", "42883"),
        ("SELECT raise_error('stop')", "P0001"),
        ("SELECT id FROM range(3) a JOIN range(3) b ON a.id = b.id", "42704"),
        ("SELECT 1; SELECT 2", "42601"),
        ("SELECT country + DATE'2026-01-01' FROM main.sales.orders", "42K09"),
        ("INSERT INTO main.sales.countries VALUES ('a')", "21S01"),
        ("CREATE TABLE main.nosuch.t (a INT)", "42704"),
    ];
    for (sql, state) in states {
        assert_eq!(error(&workspace, sql).0, state, "{sql}");
    }
}

#[test]
fn ranges_go_up_and_down() {
    let workspace = workspace();
    assert_eq!(rows(&workspace, "SELECT * FROM range(5, 0, -2)"), json!([["5"], ["3"], ["1"]]));
    assert_eq!(rows(&workspace, "SELECT * FROM range(1, 6, 2)"), json!([["1"], ["3"], ["5"]]));
    assert_eq!(
        rows(&workspace, "SELECT count(*), sum(id) FROM range(100000)"),
        json!([["100000", "4999950000"]])
    );
    assert_eq!(rows(&workspace, "SELECT * FROM range(0)"), json!([]));
}

#[test]
fn names_follow_catalog_and_schema() {
    let workspace = workspace();
    let body = json!({
        "statement": "SELECT count(1) FROM orders", "warehouse_id": RUNNING_WAREHOUSE,
        "catalog": "main", "schema": "sales", "wait_timeout": "30s",
    });
    let answer = post(&workspace, "/api/2.0/sql/statements", &body);
    assert_eq!(rows_of(&answer), json!([["6"]]));
    assert_eq!(answer["manifest"]["schema"]["columns"][0]["name"], "count(1)");
}
