//! Rows of SQL statements that lie behind links: fetched piece by piece, gone on with where something broke, and never taken
//! for whole when they are not.

use connector::action::{Output, Step};
use connector::error::{Delivery, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flow::Flow;
use crate::invocation;
use crate::statements::{ID, PENDING, input};
use crate::storage::{Fate, HOST, Storage, numbered};

/// H5: the rows of all chunks in their order, exact, each chunk fetched once and without a second authorization.
#[test]
fn rows_behind_links_are_those_of_all_chunks() {
    let storage = Storage::new(&numbered(&[3, 1, 2]));
    let run = storage.run(&json!({}));
    let json = run.json();
    assert_eq!((json["row_count"].as_u64(), json["truncated"].as_bool()), (Some(6), Some(false)));
    let ids: Vec<String> =
        json["rows"].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
    let expected: Vec<String> = (994..1000).map(|n| format!("9007199254740{n}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(run.sent(0)["disposition"], "EXTERNAL_LINKS");
    assert_eq!(json["manifest"]["total_chunk_count"], 3);
    let fetched = storage.fetched();
    assert_eq!(fetched.len(), 3);
    for request in fetched {
        assert_eq!(request.headers, [("x-key".to_owned(), "k".to_owned())]);
    }
    assert!(!run.end.as_ref().unwrap().contains("SECRET"), "a link was shown");
    // The link to the first chunk came with the state.
    assert_eq!(storage.asked(), 2);
    assert_eq!(run.waits.len(), 1, "small chunks take one step");
    assert!((2..=4).contains(&storage.most_open.get()), "{}", storage.most_open.get());
}

/// What Databricks does not say of a chunk is known all the same: where it stands, and that there is one more.
#[test]
fn links_may_say_little() {
    let note = "x".repeat(3000);
    let rows = |from: u64| (from..from + 3_000).map(|id| (id, Some(note.clone()))).collect();
    let mut storage =
        Storage { part: 65_536, ..Storage::new(&[rows(0), rows(3_000), rows(6_000)]) };
    let whole = storage.run(&json!({})).end.unwrap();
    for link in &mut storage.links {
        let url = link["external_link"].clone();
        *link = json!({ "external_link": url });
    }
    assert!(storage.run(&json!({})).end.unwrap() == whole);
}

#[test]
fn no_more_than_four_downloads_are_open() {
    let storage = Storage::new(&numbered(&[2; 20]));
    assert_eq!(storage.run(&json!({})).json()["row_count"], 40);
    assert_eq!(storage.most_open.get(), 4);
    assert_eq!(storage.open.get(), 0);
}

/// A result of many megabytes leaves in pieces, and its chunks are fetched in parts.
#[test]
fn a_large_result_leaves_in_pieces() {
    let note = "x".repeat(1000);
    let rows = |from: u64, count| (from..from + count).map(|id| (id, Some(note.clone()))).collect();
    let storage = Storage { part: 65_536, ..Storage::new(&[rows(0, 9_000), rows(9_000, 14_000)]) };
    let run = storage.run(&json!({ "resultFormat": "ndjson" }));
    let text = run.end.as_ref().unwrap();
    assert_eq!(text.lines().count(), 23_000);
    let mut ids =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64());
    assert!((0..23_000).all(|id| ids.next() == Some(Some(id))));
    let largest = run.waits.iter().filter_map(|wait| wait.emitted.as_ref()).map(Vec::len).max();
    assert!((4 << 20..9 << 20).contains(&largest.unwrap()), "{largest:?}");
    // What is fetched twice is little beside it.
    let (all, taken) = (storage.chunks.iter().map(String::len).sum::<usize>(), storage.taken.get());
    assert!((all..all + all / 20).contains(&taken), "{taken} of {all}");
    for wait in &run.waits {
        assert!(!wait.state.to_string().contains("SECRET"), "a link was kept");
    }
}

/// M17, H6: cut off after any byte, once, the rows are all there and each once; cut off again and again without a row more,
/// the trouble is told, and nothing is a shorter success.
#[test]
fn a_download_that_is_cut_off_goes_on_after_its_last_row() {
    let chunks = numbered(&[3, 4]);
    let whole = Storage::new(&chunks).run(&json!({})).end.unwrap();
    let length = Storage::new(&chunks).chunks[0].len();
    for no_ranges in [false, true] {
        for cut in 0..=length {
            let storage = Storage::new(&chunks).with_fates([Some(Fate::Cut(cut))]);
            let storage = Storage { no_ranges, part: 7, ..storage };
            let run = storage.run(&json!({}));
            assert_eq!(run.end.as_ref().unwrap(), &whole, "cut after {cut} bytes");
            let ranges = storage.fetched().iter().filter(|r| r.headers.len() > 1).count();
            assert!(ranges <= 1);
        }
    }
    for cut in [0, 1, 20] {
        let storage = Storage::new(&chunks).with_fates([Some(Fate::Cut(cut)); 20]);
        let run = storage.run(&json!({}));
        assert_eq!(
            (run.error().kind, run.error().delivery),
            (ErrorKind::Unavailable, Delivery::Applied)
        );
        assert!(storage.fetched().len() < 15, "{}", storage.fetched().len());
        assert_eq!(run.error().handle, Some(json!({ "statement_id": ID })));
    }
}

/// M17, H6: what the storage has may not be less or more than what Databricks promises.
#[test]
fn rows_that_do_not_fit_the_promise_are_no_success() {
    let chunks = numbered(&[3, 4]);
    let check = |change: &dyn Fn(&mut Storage), message: &str| {
        let mut storage = Storage::new(&chunks);
        change(&mut storage);
        let run = storage.run(&json!({}));
        let error = run.error();
        assert_eq!(error.kind, ErrorKind::Protocol, "{message}");
        assert!(error.message.contains(message), "{message}: {error}");
        assert!(!error.message.contains("SECRET"), "{error}");
    };
    let length = Storage::new(&chunks).chunks[1].len();
    for end in 0..length {
        let cut = |storage: &mut Storage| {
            // The storage itself has no more than this.
            let mut bytes = storage.chunks[1].clone().into_bytes();
            bytes.truncate(end);
            storage.chunks[1] = String::from_utf8_lossy(&bytes).into_owned();
        };
        check(&cut, "");
    }
    check(&|s| s.chunks[1].truncate(0), "ended early");
    check(&|s| s.chunks[1] = "[]".to_owned(), "the number of rows of a chunk is 4 where 0");
    check(&|s| s.chunks[1] = s.chunks[0].clone(), "the number of rows of a chunk is 4 where 3");
    check(&|s| s.chunks[1].push('x'), "not JSON");
    check(&|s| s.chunks[1] = "<html>".to_owned(), "not JSON");
    check(&|s| s.chunks[1] = r#"[["1"]]"#.to_owned(), "row 0 of a chunk has 1 values and not 2");
    check(&|s| s.links[1] = s.links[0].clone(), "the index of a chunk is 0 where 1");
    check(&|s| s.links[1]["row_offset"] = 2.into(), "the first row of a chunk is 2 where 3");
    check(&|s| s.links[1]["next_chunk_index"] = 2.into(), "more chunks than the 2");
    check(&|s| s.links[1]["external_link"] = Value::Null, "has no link");
    check(&|s| s.manifest["total_row_count"] = 8.into(), "received 7 of 8 rows");
    check(&|s| s.links[0]["http_headers"] = json!({ "range": "bytes=5-6" }), "another part");
}

const EXPIRED: Fate = Fate::Status(
    403,
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
);
const DENIED: Fate =
    Fate::Status(403, "<Error><Code>AuthorizationFailure</Code><Message>no</Message></Error>");
const GONE: Fate = Fate::Status(404, "<Error><Code>NoSuchKey</Code></Error>");

/// H9: a link that has expired is asked for again.
#[test]
fn an_expired_link_is_asked_for_again() {
    let chunks = numbered(&[3, 4]);
    let whole = Storage::new(&chunks).run(&json!({})).end.unwrap();
    for fates in
        [vec![Some(EXPIRED)], vec![None, Some(EXPIRED)], vec![Some(EXPIRED), None, Some(DENIED)]]
    {
        let asked = fates.iter().flatten().count();
        let storage = Storage::new(&chunks).with_fates(fates);
        assert_eq!(storage.run(&json!({})).end.unwrap(), whole);
        assert_eq!(storage.asked(), 1 + asked);
    }
}

/// H10: the same refusal of a fresh link is told, with the storage and what to do.
#[test]
fn a_link_that_is_refused_twice_is_told() {
    for (fates, kind) in [
        ([EXPIRED, EXPIRED, EXPIRED, EXPIRED], ErrorKind::Forbidden),
        ([DENIED, DENIED, DENIED, DENIED], ErrorKind::Forbidden),
        ([EXPIRED, DENIED, EXPIRED, DENIED], ErrorKind::Forbidden),
        ([GONE, GONE, GONE, GONE], ErrorKind::ResultExpired),
    ] {
        let storage = Storage::new(&numbered(&[3])).with_fates(fates.map(Some));
        let run = storage.run(&json!({}));
        let error = run.error();
        assert_eq!((error.kind, error.delivery), (kind, Delivery::Applied), "{error}");
        assert!(error.message.contains(HOST) && !error.message.contains("SECRET"), "{error}");
        if kind == ErrorKind::Forbidden {
            assert!(error.message.contains("Disposition"), "{error}");
        }
        assert!(error.message.chars().count() < 300, "{error}");
        assert!(storage.asked() <= 3, "{}", storage.asked());
    }
}

/// H11: storage that cannot be reached is named, with the way around it.
#[test]
fn storage_out_of_reach_is_told_with_a_way_around() {
    for late in [0, 1] {
        let mut fates = [Some(Fate::Unreachable); 9];
        fates.iter_mut().take(late).for_each(|fate| *fate = None);
        let run = Storage::new(&numbered(&[3, 4])).with_fates(fates).run(&json!({}));
        let error = run.error();
        assert_eq!((error.kind, error.delivery), (ErrorKind::Unavailable, Delivery::Applied));
        let expected = "could not reach the result storage storage.test: allow it in your firewall, or set Disposition to Inline";
        assert_eq!(error.message, expected);
    }
    let inline = json!({ "disposition": "inline" });
    let run = crate::statements::run(&inline, &[PENDING, crate::statements::ONE_CHUNK]);
    assert_eq!(run.sent(0)["disposition"], "INLINE");
}

/// A passing trouble of the storage passes, with a pause.
#[test]
fn storage_that_is_down_for_a_moment_is_waited_for() {
    let down = Some(Fate::Status(503, "<Error><Code>SlowDown</Code></Error>"));
    let storage = Storage::new(&numbered(&[3, 4])).with_fates([down, down]);
    let run = storage.run(&json!({}));
    assert_eq!(run.json()["row_count"], 7);
    assert!(run.waits.iter().any(|wait| wait.poll_after_ms >= 1_000));
    let storage = Storage::new(&numbered(&[3])).with_fates([down; 20]);
    let run = storage.run(&json!({}));
    assert_eq!(run.error().kind, ErrorKind::Unavailable);
    assert!(run.error().message.contains("status 503"), "{}", run.error());
    let waited: u32 = run.waits.iter().map(|wait| wait.poll_after_ms).sum();
    assert!((120_000..180_000).contains(&waited), "{waited}");
}

/// A step that is taken again from the same state writes the same, so that a host that died goes on without a row twice.
#[test]
fn any_step_can_be_taken_again() {
    let note = "x".repeat(3000);
    let rows = |from: u64| (from..from + 3_000).map(|id| (id, Some(note.clone()))).collect();
    let storage = Storage { part: 65_536, ..Storage::new(&[rows(0), rows(3_000)]) };
    let invocation = invocation("runSql", &input(&json!({})));
    let mut step = connector::start(&storage, &invocation).unwrap();
    let mut steps = 0;
    while let Step::Waiting(waiting) = step {
        let state = waiting.state.to_string();
        let abandoned = connector::resume(&storage, &invocation, &state).unwrap();
        step = connector::recover(&storage, &invocation, Some(&state)).unwrap();
        assert!(step == abandoned, "step {steps} is another one");
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
    assert!(matches!(step, Step::Done { output: Output::Json(_), .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// M17: however rows lie in chunks, answers in parts and connections break, each form is the same as in one piece.
    #[test]
    fn any_way_to_the_rows_leads_to_the_same(
        sizes in prop::collection::vec(0..6_u64, 1..7),
        part in 1..60_usize,
        no_ranges in any::<bool>(),
        cuts in prop::collection::vec(prop::option::weighted(0.3, 30..200_usize), 0..12),
        format in prop::sample::select(vec!["objects", "arrays", "csv", "ndjson", "raw"]),
    ) {
        let chunks = numbered(&sizes);
        let form = json!({ "resultFormat": format });
        let one = Storage { part: 1 << 20, ..Storage::new(&[chunks.concat()]) }.run(&form);
        let fates = cuts.into_iter().map(|cut| cut.map(Fate::Cut));
        let other = Storage { part, no_ranges, ..Storage::new(&chunks).with_fates(fates) }.run(&form);
        let rows = |run: &Flow| {
            let text = run.end.clone().unwrap();
            text.split_once("\"rows\":").map_or(text.clone(), |(_, rows)| rows.to_owned())
        };
        if format == "raw" {
            prop_assert_eq!(&one.json()["result"], &other.json()["result"]);
        } else {
            prop_assert_eq!(rows(&one), rows(&other));
        }
        prop_assert_eq!(one.summary, other.summary);
    }
}
