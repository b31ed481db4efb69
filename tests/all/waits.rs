//! Waits of hours and days, through the built component and with tokens that really expire: nothing of them is lost to
//! clocks, tokens, outages, deadlines or callers that go away. Waits are skipped, requests are real.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_tests::{Rig, call, harness, harness_with, json, pat, service_principal};
use host_harness::{CancellationToken, Clock, Error, ErrorKind, Observer, OnDeadline, Settings};
use local_workspace::{
    Effect, Fault, FaultAction, LocalWorkspace, Options, Passed, RUNNING_WAREHOUSE,
};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

const HOUR: Duration = Duration::from_hours(1);

fn sql() -> Json {
    json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": "SELECT 1 AS one", "timeoutSeconds": 86_400 })
}

/// Trouble that a workspace has for a while.
struct Trouble {
    from: Duration,
    until: Duration,
    path: &'static str,
    action: FaultAction,
}

/// Makes trouble when it is time, and measures how long nobody looked.
struct Watch<'a> {
    workspace: &'a LocalWorkspace,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    troubles: Vec<Trouble>,
    looks: usize,
    last: Duration,
    longest: Duration,
}

impl Observer for Watch<'_> {
    fn progress(&self, message: &str, _: Option<f32>, now: Duration) {
        let mut seen = self.seen.lock().unwrap();
        // What is said within a look is no look.
        if !message.starts_with("waiting") {
            seen.looks += 1;
            seen.longest = seen.longest.max(now - seen.last);
            seen.last = now;
        }
        seen.troubles.retain(|trouble| {
            if now >= trouble.until {
                self.workspace.clear_faults();
            } else if now >= trouble.from {
                self.workspace.clear_faults();
                self.workspace.fault(Fault::always("*", trouble.path, trouble.action.clone()));
            }
            now < trouble.until
        });
    }
}

/// Follows a statement of 23 hours, within a day, to its rows. Gives back the tokens that it took.
async fn a_day(skew: i64, troubles: Vec<Trouble>) -> u64 {
    const RUNS: Duration = Duration::from_hours(23);
    let clock = Clock::skipping();
    let passing = clock.clone();
    let options = Options {
        statement_delay: RUNS,
        token_skew: skew,
        passed: Passed::by(move || passing.skipped()),
        ..Options::default()
    };
    let workspace = LocalWorkspace::start(options).unwrap();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let config = service_principal(&workspace, &workspace.token_url());
    let rig = Rig::connected_by(harness_with(settings), workspace, config).await;
    let watch =
        Watch { workspace: &rig.workspace, seen: Mutex::new(Seen { troubles, ..Seen::default() }) };
    let run = rig.harness.invoke(
        &rig.connection,
        call("runSql", &sql()),
        &watch,
        CancellationToken::new(),
    );
    let output = run.await.unwrap();
    assert_eq!(json(&output)["rows"], json!([{ "one": 1 }]));
    assert!(clock.skipped() >= RUNS && clock.skipped() < RUNS + HOUR, "{:?}", clock.skipped());
    assert_eq!(rig.workspace.effects(Effect::Statement), 1);
    let seen = watch.seen.into_inner().unwrap();
    assert!(seen.troubles.is_empty(), "not all of it happened");
    assert!(seen.longest < Duration::from_mins(15), "nobody looked for {:?}", seen.longest);
    // One look every half minute, and each look is one request that succeeds: lost ones would be repeated.
    let looks =
        rig.wire().iter().filter(|line| line.starts_with("GET /api/2.0/sql/statements/")).count();
    assert!(looks >= 2_700, "{looks}");
    if skew != 0 {
        assert!(looks <= seen.looks + 1, "{looks} requests for {} looks", seen.looks);
    }
    rig.workspace.tokens_issued()
}

/// C4, C5, H1, H16, M10: a statement of nearly a day is followed with tokens that last an hour, whose clocks differ by a minute and
/// a half: no look fails, and each hour takes a token or two.
#[tokio::test]
async fn a_day_with_tokens_of_an_hour_and_clocks_that_differ() {
    for skew in [90, -90] {
        let tokens = a_day(skew, Vec::new()).await;
        assert!((24..=36).contains(&tokens), "{tokens} tokens in 23 hours");
    }
}

/// H20: a network that is gone for minutes, an hour of maintenance and a token endpoint that is away cost a day's wait nothing
/// but looks.
#[tokio::test]
async fn a_day_with_outages() {
    let minutes = |from: u64, lasts: u64, path, action| Trouble {
        from: Duration::from_mins(from),
        until: Duration::from_mins(from + lasts),
        path,
        action,
    };
    let down = || FaultAction::Status { status: 503, headers: Vec::new(), body: "{}".to_owned() };
    a_day(
        0,
        vec![
            minutes(95, 20, "*", FaultAction::Reset),
            minutes(301, 60, "*", down()),
            minutes(640, 15, "/oidc/*", down()),
        ],
    )
    .await;
}

/// Hears when something runs.
#[derive(Default)]
struct Ears {
    started: Notify,
    log: Mutex<Vec<String>>,
    logged: Notify,
}

impl Observer for Ears {
    fn started(&self, _: &Json) {
        self.started.notify_one();
    }

    fn log(&self, line: &str) {
        self.log.lock().unwrap().push(line.to_owned());
        self.logged.notify_one();
    }
}

/// The status of the newest statement in the history.
async fn status(rig: &Rig) -> Json {
    let history = json!({ "url": "/2.0/sql/history/queries", "method": "GET" });
    rig.json("rawRequest", history).await["res"][0]["status"].clone()
}

fn slow() -> LocalWorkspace {
    LocalWorkspace::start(Options { statement_delay: HOUR, ..Options::default() }).unwrap()
}

/// H18: a deadline that says so stops the statement, and tells that it did.
#[tokio::test]
async fn a_deadline_can_stop_the_statement() {
    let workspace = slow();
    let config = pat(&workspace);
    let rig = Rig::connected_by(harness(), workspace, config).await;
    let with = |on_deadline| {
        let mut call = call("runSql", &sql());
        (call.deadline, call.on_deadline) = (Some(Duration::from_secs(1)), on_deadline);
        rig.harness.invoke(&rig.connection, call, &(), CancellationToken::new())
    };
    let error: Error = with(OnDeadline::Leave).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.ends_with("what it started still runs"), "{error}");
    assert_eq!(status(&rig).await, "RUNNING");

    let error = with(OnDeadline::Cancel).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.ends_with("; the remote work was stopped"), "{error}");
    assert!(error.handle.unwrap()["statement_id"].is_string());
    assert_eq!(status(&rig).await, "CANCELED");
}

/// H18: a caller that goes away has its statement stopped when it asked for that, in the background.
#[tokio::test]
async fn a_caller_that_goes_away_can_stop_its_statement() {
    let workspace = slow();
    let config = pat(&workspace);
    let harness = Arc::new(harness());
    let connection = harness.connect(config.clone()).await.unwrap();
    let ears = Arc::new(Ears::default());
    let observer = Arc::clone(&ears) as Arc<dyn Observer>;
    let run = Arc::clone(&harness).invoke_owned(
        connection,
        call("runSql", &sql()),
        observer,
        CancellationToken::new(),
    );
    tokio::select! {
        _ = run => panic!("it runs for an hour"),
        () = ears.started.notified() => {}
    }
    ears.logged.notified().await;
    let line = ears.log.lock().unwrap().concat();
    assert!(line.starts_with("cancelled; the remote work was stopped: {"), "{line}");
    assert!(line.contains("statement_id"), "{line}");
    let rig = Rig::connected_by(connector_tests::harness(), workspace, config).await;
    assert_eq!(status(&rig).await, "CANCELED");
}
