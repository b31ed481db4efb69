//! Every action does with canned answers what its example says, and sends what the committed requests show.

use serde_json::{Value, json};

use connector::action::{Endpoint, Entry, Output, Step};
use connector::canned::Canned;
use connector::http::Request;

use crate::up_to_date::Views;
use crate::{invocation, json};

/// Runs an action to its end, as a host would.
fn run(entry: &Entry, canned: &Canned) -> Value {
    let example = (entry.example)();
    let invocation = invocation(entry.key, &example.input);
    let mut emitted = Vec::new();
    let mut step = connector::start(canned, &invocation).expect(entry.key);
    loop {
        match step {
            Step::Waiting(waiting) => {
                assert!(waiting.handle.is_object(), "{}: the handle names what runs", entry.key);
                emitted.extend(waiting.emitted.unwrap_or_default());
                let state = waiting.state.to_string();
                step = connector::resume(canned, &invocation, &state).expect(entry.key);
            }
            Step::Done { output, .. } => return whole(emitted, output),
        }
    }
}

/// The parts that earlier steps emitted and the last one, as a value.
fn whole(mut emitted: Vec<u8>, output: Output) -> Value {
    let is_json = matches!(output, Output::Json(_));
    match output {
        Output::Json(text) | Output::Text(text) | Output::Typed { text, .. } => {
            emitted.extend(text.into_bytes())
        }
        Output::Binary { bytes, .. } => emitted.extend(bytes),
    }
    let text = String::from_utf8(emitted).expect("examples are text");
    if is_json { json(&text) } else { Value::String(text) }
}

#[test]
fn examples_run_as_shown() {
    let mut views = Views::default();
    let mut names = Vec::new();
    for entry in connector::actions() {
        let example = (entry.example)();
        let canned = Canned::json(example.answers.clone());
        let output = run(entry, &canned);
        assert_eq!(output, example.output, "{}: the result", entry.key);
        assert_eq!(canned.left(), 0, "{}: answers that nobody asked for", entry.key);
        let requests = canned.requests();
        for request in &requests {
            let declared = entry.endpoints.iter().any(|endpoint| allows(endpoint, request));
            assert!(declared, "{}: {} {} is not declared", entry.key, request.method, request.url);
        }
        let shown: Vec<Value> = requests.iter().map(shown).collect();
        names.push(format!("{}.json", entry.key));
        views.check(
            &format!("connector/fixtures/requests/{}.json", entry.key),
            &format!("{:#}\n", Value::Array(shown)),
        );
    }
    views.only("connector/fixtures/requests", &names);
    views.finish();
}

/// A request as a committed file shows it.
fn shown(request: &Request) -> Value {
    let body = String::from_utf8(request.body.clone()).expect("a body of text");
    let body = match serde_json::from_str(&body) {
        Ok(value) => value,
        Err(_) if body.is_empty() => Value::Null,
        Err(_) => Value::String(body),
    };
    json!({
        "method": request.method,
        "url": request.url,
        "headers": request.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>(),
        "body": body,
    })
}

/// Whether the host would let a request out.
fn allows(endpoint: &Endpoint, request: &Request) -> bool {
    let origin = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.test";
    let Some(target) = request.url.strip_prefix(origin) else { return false };
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/');
    for part in endpoint.path.split('/') {
        let fits = match (part, segments.next()) {
            ("*", Some(_)) => return ["*", &request.method].contains(&endpoint.method),
            (part, Some(segment)) if part.starts_with('{') => !segment.is_empty(),
            (part, segment) => segment == Some(part),
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none() && ["*", &request.method].contains(&endpoint.method)
}
