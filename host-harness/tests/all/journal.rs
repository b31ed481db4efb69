//! The journal: what is written down before, during and after an action, and what is made of it afterwards. Processes that die
//! are played by harnesses that are dropped, and futures that are; real ones die in the tests of whole calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::Duration;

use host_harness::journal::{Journal, Record, Status};
use host_harness::{
    Call, CancellationToken, Connection, Delivery, Error, ErrorKind, Harness, Observer, Output,
    Settings,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{TOKEN, cache_dir, config, folder, guest, json_of};
use crate::server::{Reply, Server, Then};

/// A harness with a journal, as a process of its own has them.
pub(crate) fn journaling(folder: &Path) -> Harness {
    let mut settings = Settings {
        cache_dir: Some(cache_dir()),
        journal_dir: Some(folder.to_owned()),
        ..Settings::default()
    };
    settings.limits.requests_per_second = 0;
    Harness::load(guest(), settings).unwrap()
}

/// A service of jobs. Looking for a lost one is answered with `found`.
struct Jobs {
    server: Server,
    found: Arc<AtomicU16>,
    folder: PathBuf,
}

impl Jobs {
    async fn start() -> Self {
        Self::hanging_at("/nothing").await
    }

    /// The same, with requests that are not answered.
    async fn hanging_at(path: &'static str) -> Self {
        let found = Arc::new(AtomicU16::new(404));
        let answer = Arc::clone(&found);
        let server = Server::start(move |request| {
            if request.line.contains(path) {
                return Reply::raw(&[], Then::Hang);
            }
            match request.line.contains("/find/") {
                true => Reply::new(answer.load(SeqCst), "", ""),
                false => Reply::json("{}"),
            }
        })
        .await;
        Self { server, found, folder: folder() }
    }

    fn input(&self, more: Json) -> Json {
        let mut input = more;
        input["url"] = self.server.url.as_str().into();
        input
    }

    async fn connect(&self, harness: &Harness) -> Connection {
        harness.connect(config(&self.server.url)).await.unwrap()
    }

    /// Runs a job to its end.
    async fn run(&self, harness: &Harness, id: Option<&str>, more: Json) -> Result<Output, Error> {
        let call = self.call(id, more);
        harness.invoke(&self.connect(harness).await, call, &(), CancellationToken::new()).await
    }

    fn call(&self, id: Option<&str>, more: Json) -> Call {
        Call {
            action: "job".to_owned(),
            input: self.input(more).to_string(),
            id: id.map(str::to_owned),
            ..Call::default()
        }
    }

    /// Runs a job in a harness that is gone once it knows what runs.
    async fn left_running(&self, id: Option<&str>, more: Json) {
        let harness = journaling(&self.folder);
        let (call, started) = (self.call(id, more), CancellationToken::new());
        let (connection, watcher) = (self.connect(&harness).await, WhenStarted(started.clone()));
        tokio::select! {
            biased;
            outcome = harness.invoke(&connection, call, &watcher, CancellationToken::new()) => {
                panic!("it ended: {outcome:?}")
            }
            () = started.cancelled() => {}
        }
        self.gone(harness).await;
    }

    /// Runs a job in a harness that is gone once the service has this many requests.
    async fn interrupted(&self, id: Option<&str>, more: Json, requests: usize) {
        let harness = journaling(&self.folder);
        tokio::select! {
            biased;
            outcome = self.run(&harness, id, more) => panic!("it ended: {outcome:?}"),
            () = self.has(requests) => {}
        }
        self.gone(harness).await;
    }

    async fn gone(&self, harness: Harness) {
        drop(harness);
        // What is left of its connections goes in its own time.
        while self.only().await.is_attended {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn has(&self, requests: usize) {
        while self.server.requests().len() < requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn resume(&self, harness: &Harness, id: &str) -> Result<Output, Error> {
        let connection = self.connect(harness).await;
        harness.resume(&connection, id, Default::default(), &(), CancellationToken::new()).await
    }

    fn lines(&self) -> Vec<String> {
        let line = |line: &String| line.trim_end_matches(" HTTP/1.1").to_owned();
        self.server.requests().iter().map(|request| line(&request.line)).collect()
    }

    fn submissions(&self) -> usize {
        self.lines().iter().filter(|line| line.ends_with("/api/reconcile/jobs")).count()
    }

    async fn only(&self) -> Record {
        let journal = Journal::open(&self.folder).await.unwrap();
        let mut records = journal.records().await.unwrap();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }
}

/// I2: the intent is on the disk before the request leaves, and the handle before the next step.
#[tokio::test]
async fn what_is_sent_is_written_down_before() {
    let journal_dir = folder();
    let (at, seen) = (journal_dir.clone(), Arc::new(std::sync::Mutex::new(vec![])));
    let kept = Arc::clone(&seen);
    let server = Server::start(move |_| {
        // A reader of its own, as another process would be.
        let records = std::thread::scope(|scope| {
            let read = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime
                    .block_on(async { Journal::open(&at).await.unwrap().records().await.unwrap() })
            };
            scope.spawn(read).join().unwrap()
        });
        let record = records.into_iter().next().expect("a record");
        kept.lock().unwrap().push((record.status, record.handle.is_some(), record.is_attended));
        Reply::json("{}")
    })
    .await;
    let jobs = Jobs { server, found: Arc::default(), folder: journal_dir };
    let output = jobs.run(&journaling(&jobs.folder), None, json!({"steps": 2})).await.unwrap();
    assert_eq!(json_of(&output)["steps"], 2);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (Status::Submitting, false, true),
            (Status::Running, true, true),
            (Status::Running, true, true)
        ]
    );
    let record = jobs.only().await;
    assert_eq!((record.status, record.polls, record.is_attended), (Status::Done, 2, false));
    let journal = Journal::open(&jobs.folder).await.unwrap();
    let log = journal.log(&record.id, 0).await.unwrap();
    assert_eq!(log[0].text, format!("submitting {}", record.id));
    let kept = journal.outcome(&record).await.unwrap().unwrap().unwrap();
    assert_eq!(kept, output);
}

/// Reads open no journal, not even one that cannot be opened.
#[tokio::test]
async fn reads_need_no_journal() {
    let server = Server::start(|_| Reply::json("{}")).await;
    let harness = journaling(Path::new("/proc/nowhere"));
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let input = json!({"url": format!("{}/api/safe/x", server.url)});
    crate::fixtures::invoke(&harness, &connection, "get", &input).await.unwrap();
    assert!(harness.journal_in_use().is_none());
}

/// I4: without a journal to write into, nothing is sent that could get lost.
#[tokio::test]
async fn without_a_journal_nothing_is_submitted() {
    let jobs = Jobs::start().await;
    let harness = journaling(Path::new("/proc/nowhere"));
    let error = jobs.run(&harness, None, json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ErrorKind::HostIo, Delivery::NotSent));
    assert!(error.message.contains("/proc/nowhere"), "{error}");
    assert!(error.message.ends_with("the request was not sent"), "{error}");
    assert_eq!(jobs.lines(), [""; 0]);
}

/// I2: what died while it waited goes on from its last state, and submits nothing again.
#[tokio::test]
async fn work_goes_on_from_its_last_state() {
    let jobs = Jobs::start().await;
    jobs.left_running(None, json!({"steps": 3, "pollMs": 60_000})).await;
    let record = loop {
        let record = jobs.only().await;
        if record.handle.is_some() {
            break record;
        }
    };
    assert!(record.is_interrupted());
    assert_eq!(record.handle, Some(json!({"job": record.id})));
    let harness = journaling(&jobs.folder);
    let input = jobs.input(json!({"steps": 3, "pollMs": 60_000}));
    let journal = harness.journal().await.unwrap();
    assert_eq!(journal.input(&record).await.unwrap(), input.to_string());
    let stop = CancellationToken::new();
    let connection = jobs.connect(&harness).await;
    let watcher = UntilStep("job step 2", stop.clone());
    let error = harness
        .resume(&connection, &record.id, Default::default(), &watcher, stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
    assert_eq!(
        jobs.lines(),
        ["POST /api/reconcile/jobs", "GET /api/safe/jobs/1", "POST /api/convergent/stop"]
    );
    assert_eq!(jobs.only().await.status, Status::Cancelled);
}

/// Tells that something runs.
struct WhenStarted(CancellationToken);

impl Observer for WhenStarted {
    fn started(&self, _: &Json) {
        self.0.cancel();
    }
}

/// Cancels at a step.
struct UntilStep(&'static str, CancellationToken);

impl Observer for UntilStep {
    fn progress(&self, message: &str, _: Option<f32>, _: Duration) {
        if message == self.0 {
            self.1.cancel();
        }
    }
}

/// I2: what died in a request that must not be repeated is looked for, and found; nothing is sent again.
#[tokio::test]
async fn what_was_lost_is_found() {
    let jobs = Jobs::hanging_at("/api/reconcile").await;
    jobs.interrupted(None, json!({"steps": 1}), 1).await;
    jobs.found.store(200, SeqCst);
    let id = jobs.only().await.id;
    let output = jobs.resume(&journaling(&jobs.folder), &id).await.unwrap();
    assert_eq!(json_of(&output)["steps"], 1);
    let find = format!("GET /api/safe/find/nothing/{id}");
    assert_eq!(jobs.lines(), ["POST /api/reconcile/jobs", &find, "GET /api/safe/jobs/1"]);
}

/// I2: where nothing tells what became of a request, that is said, again and again, and nothing is sent twice.
#[tokio::test]
async fn what_nobody_knows_is_unknown() {
    let jobs = Jobs::hanging_at("/api/reconcile").await;
    jobs.interrupted(Some("mine"), json!({}), 1).await;
    let harness = journaling(&jobs.folder);
    for _ in 0..2 {
        let error = jobs.resume(&harness, "mine").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
        assert!(error.message.contains("mine"), "{error}");
        assert_eq!(jobs.only().await.status, Status::Unknown);
    }
    // Calling it anew under its name is no way around that, and it is still found when it can be.
    let error = jobs.run(&harness, Some("mine"), json!({})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    jobs.found.store(200, SeqCst);
    jobs.run(&harness, Some("mine"), json!({})).await.unwrap();
    assert_eq!(jobs.submissions(), 1);
}

/// I2: a later step's request is marked like the first one's; recovery gets the state before it.
#[tokio::test]
async fn a_later_request_is_marked_too() {
    let jobs = Jobs::hanging_at("/api/never/more").await;
    jobs.interrupted(Some("mine"), json!({"steps": 3, "again": 2}), 4).await;
    jobs.found.store(200, SeqCst);
    let harness = journaling(&jobs.folder);
    let connection = jobs.connect(&harness).await;
    let stop = CancellationToken::new();
    let watcher = UntilStep("job step 1", stop.clone());
    harness.resume(&connection, "mine", Default::default(), &watcher, stop).await.unwrap_err();
    assert_eq!(jobs.lines()[4], "GET /api/safe/find/2/mine");
    assert_eq!(jobs.submissions(), 1);
}

/// I2: parts of a result that were handed out before are handed out again: the whole result is the same.
#[tokio::test]
async fn a_result_in_parts_is_whole_after_a_crash() {
    let jobs = Jobs::start().await;
    let whole = json_of(
        &jobs.run(&journaling(&folder()), None, json!({"steps": 5, "emitAfter": 2})).await.unwrap(),
    );
    assert_eq!(whole, json!([3, 4, 5, 0]));
    for requests in 2..6 {
        let jobs = Jobs::start().await;
        let input = json!({"steps": 5, "emitAfter": 2, "pollMs": 20});
        jobs.interrupted(Some("mine"), input, requests).await;
        let output = jobs.resume(&journaling(&jobs.folder), "mine").await.unwrap();
        assert_eq!(json_of(&output), whole, "{requests}");
        assert_eq!(jobs.submissions(), 1);
    }
}

/// I2, I10: of many that go on with the same work at the same time, one does, and the others say so.
#[tokio::test]
async fn one_goes_on_and_no_other() {
    let jobs = Arc::new(Jobs::start().await);
    jobs.left_running(Some("mine"), json!({"steps": 2, "pollMs": 100})).await;
    while jobs.only().await.handle.is_none() {}
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let jobs = Arc::clone(&jobs);
            tokio::spawn(async move { jobs.resume(&journaling(&jobs.folder), "mine").await })
        })
        .collect();
    let (mut done, mut busy) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
                assert!(error.message.contains("another process has mine in hand"), "{error}");
                busy += 1;
            }
        }
    }
    assert!(done >= 1 && done + busy == 8);
    let looks = jobs.lines().iter().filter(|line| line.ends_with("/jobs/2")).count();
    assert_eq!(looks, 1, "{:?}", jobs.lines());
}

/// The same id and input give what came of them; another input, or a taken id, is an error before anything is sent.
#[tokio::test]
async fn an_id_is_used_once() {
    let jobs = Jobs::start().await;
    let harness = journaling(&jobs.folder);
    let input = json!({"steps": 1, "large": 100_000});
    let first = jobs.run(&harness, Some("mine"), input.clone()).await.unwrap();
    let sent = jobs.lines().len();
    // By another process, too.
    for harness in [&harness, &journaling(&jobs.folder)] {
        let again = jobs.run(harness, Some("mine"), input.clone()).await.unwrap();
        assert_eq!(again, first);
    }
    let error = jobs.run(&harness, Some("mine"), json!({"steps": 2})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    for wrong in [String::new(), "x".repeat(257)] {
        let error = jobs.run(&harness, Some(&wrong), json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{wrong}");
    }
    assert_eq!(jobs.lines().len(), sent);
}

/// Work is not looked for at another service than the one where it was begun.
#[tokio::test]
async fn work_is_found_only_where_it_was_begun() {
    let (jobs, other) = (Jobs::start().await, Jobs::start().await);
    jobs.interrupted(Some("mine"), json!({"pollMs": 60_000}), 1).await;
    let harness = journaling(&jobs.folder);
    let elsewhere = other.connect(&harness).await;
    let stop = CancellationToken::new();
    let error =
        harness.resume(&elsewhere, "mine", Default::default(), &(), stop).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(error.message.contains(&jobs.server.url), "{error}");
    assert_eq!(other.lines(), [""; 0]);
}

/// What is handed over is done by whoever takes it up, once.
#[tokio::test]
async fn what_is_handed_over_is_done_by_another() {
    let jobs = Jobs::start().await;
    let harness = journaling(&jobs.folder);
    let call = jobs.call(None, json!({"steps": 1}));
    let id = harness.hand_over(&jobs.connect(&harness).await, call).await.unwrap();
    drop(harness);
    assert_eq!(jobs.lines(), [""; 0]);
    assert!(jobs.only().await.is_interrupted());
    // An id may be given by its beginning.
    jobs.resume(&journaling(&jobs.folder), &id[..8]).await.unwrap();
    assert_eq!(jobs.submissions(), 1);
    let journal = Journal::open(&jobs.folder).await.unwrap();
    assert_eq!(journal.find("none").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(journal.prune(Duration::ZERO).await.unwrap(), 1);
    assert!(journal.records().await.unwrap().is_empty());
}

/// Another process asks for a running one's work to be cancelled, and it is.
#[tokio::test]
async fn a_wish_to_cancel_is_heard() {
    let jobs = Jobs::start().await;
    let harness = journaling(&jobs.folder);
    let run = jobs.run(&harness, Some("mine"), json!({"pollMs": 60_000}));
    let wish = async {
        let journal = Journal::open(&jobs.folder).await.unwrap();
        while journal.find("mine").await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        journal.request_cancel("mine").await.unwrap();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        outcome = run => outcome.unwrap_err(),
        () = wish => unreachable!(),
    };
    assert_eq!(error.message, "cancelled; the remote work was stopped");
    assert_eq!(jobs.only().await.status, Status::Cancelled);
}

/// J1: no credential is written, not even one that the input has in it; what cannot be done again for that is refused.
#[tokio::test]
async fn the_journal_has_no_credential() {
    let jobs = Jobs::hanging_at("/api/reconcile").await;
    jobs.interrupted(Some("mine"), json!({"secret": TOKEN}), 1).await;
    let error = jobs.resume(&journaling(&jobs.folder), "mine").await.unwrap_err();
    assert!(error.message.contains("credential"), "{error}");
    let canaries = connector_tests::leaks::Canaries::new(&[("token", TOKEN)]);
    for entry in std::fs::read_dir(&jobs.folder).unwrap() {
        let path = entry.unwrap().path();
        canaries.assert_absent(&path.display().to_string(), std::fs::read(&path).unwrap());
    }
}

/// The folder and its files are their owner's alone.
#[tokio::test]
async fn the_journal_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let jobs = Jobs::start().await;
    let harness = journaling(&jobs.folder);
    jobs.run(&harness, Some("mine"), json!({"large": 100_000})).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&jobs.folder), 0o700);
    let files = std::fs::read_dir(&jobs.folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
