//! A connector for the harness's own tests: each action is a way to behave. It is no model of a connector.
#![cfg(target_family = "wasm")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a guest that panics is a test that failed, and some actions say something"
)]

mod bindings {
    #![allow(
        unsafe_code,
        unreachable_pub,
        missing_debug_implementations,
        clippy::all,
        reason = "generated code"
    )]
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "connector",
        with: {
            "wasi:io/error@0.2.0": waki::bindings::wasi::io::error,
            "wasi:io/poll@0.2.0": waki::bindings::wasi::io::poll,
            "wasi:io/streams@0.2.0": waki::bindings::wasi::io::streams,
        },
    });
    use super::Guest;
    export!(Guest);
}

use bindings::exports::integration::connector::actions::Invocation;
use bindings::exports::integration::connector::{actions, catalog, choices, triggers};
use bindings::integration::connector::types::{
    Connection, Delivery, Error, ErrorKind, Output, Progress, Step, Value, Waiting,
};
use serde_json::{Value as Json, json};
use waki::Method;
use waki::bindings::wasi::http::types::ErrorCode;
use waki::header::HeaderName;

mod hostile;
mod reading;

struct Guest;

const ACTIONS: &[&str] = &[
    "echo", "get", "dump", "read", "wait", "emit", "log", "loop", "bomb", "panic", "recurse",
    "flood", "handles", "send", "follow", "write", "job", "pieces", "pass",
];

impl catalog::Guest for Guest {
    fn describe() -> catalog::Description {
        let endpoint = |method: &str, path: &str, retry| catalog::Endpoint {
            method: method.into(),
            path: path.into(),
            audience: catalog::Audience::Workspace,
            retry,
        };
        let schema =
            |properties: Json| json!({"type": "object", "properties": properties}).to_string();
        let declared = vec![
            endpoint("GET", "/api/one/{id}", catalog::RetryClass::Manual),
            endpoint("*", "/api/any/*", catalog::RetryClass::Manual),
            endpoint("*", "/api/safe/*", catalog::RetryClass::Safe),
            endpoint("*", "/api/keyed/*", catalog::RetryClass::Keyed),
            endpoint("*", "/api/convergent/*", catalog::RetryClass::Convergent),
            endpoint("*", "/api/reconcile/*", catalog::RetryClass::Reconcile),
            endpoint("*", "/api/never/*", catalog::RetryClass::Never),
        ];
        let action = |key: &&str| catalog::Action {
            key: (*key).into(),
            label: (*key).into(),
            description: String::new(),
            group: "Tests".into(),
            effect: match *key {
                "write" | "job" => catalog::Effect::Writes,
                _ => catalog::Effect::Reads,
            },
            input_schema: schema(json!({})),
            output_schema: "{}".into(),
            example: json!({"input": {}, "output": {}}).to_string(),
            endpoints: match *key {
                "write" => vec![endpoint("POST", "/api/one/{id}", catalog::RetryClass::Never)],
                "follow" => vec![
                    endpoint("GET", "/api/one/{id}", catalog::RetryClass::Safe),
                    catalog::Endpoint {
                        audience: catalog::Audience::SignedLink,
                        ..endpoint("GET", "link", catalog::RetryClass::Safe)
                    },
                ],
                _ => declared.clone(),
            },
        };
        let connection = |key: &str, scheme, secret: &str, properties| catalog::ConnectionType {
            key: key.into(),
            label: key.into(),
            description: String::new(),
            scheme,
            secret: secret.into(),
            schema: schema(properties),
        };
        catalog::Description {
            key: "test".into(),
            label: "Test".into(),
            description: "Does what tests ask of it.".into(),
            version: "0.1.0".into(),
            connections: vec![
                connection(
                    "token",
                    catalog::AuthScheme::BearerToken,
                    "token",
                    json!({"host": {}, "token": {}}),
                ),
                connection(
                    "client",
                    catalog::AuthScheme::ClientCredentials,
                    "secret",
                    json!({"host": {}, "tokenUrl": {}, "id": {}, "secret": {}}),
                ),
                connection(
                    "thief",
                    catalog::AuthScheme::BearerToken,
                    "token",
                    json!({"host": {}, "token": {}}),
                ),
            ],
            connection_test: "echo".into(),
            actions: ACTIONS.iter().chain(hostile::ACTIONS).map(action).collect(),
            choices: vec![catalog::ChoiceSource {
                key: "words".into(),
                label: "Words".into(),
                input_schema: schema(json!({})),
                endpoints: vec![],
            }],
            triggers: vec![],
            credential_endpoints: vec![endpoint(
                "*",
                "/api/{version}/tokens/*",
                catalog::RetryClass::Never,
            )],
        }
    }

    fn check_connection(to: Connection) -> Result<catalog::ResolvedConnection, Error> {
        let fields: Json = serde_json::from_str(&to.fields).expect("fields are JSON");
        let text = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
        if text("host").is_empty() {
            return Err(failed(ErrorKind::InvalidConnection, "host: it is empty".into()));
        }
        let token = (to.connection_type == "client").then(|| catalog::TokenSource {
            url: text("tokenUrl"),
            client_id: text("id"),
            scopes: "all-apis".into(),
        });
        let thief = to.connection_type == "thief";
        Ok(catalog::ResolvedConnection {
            origin: if thief { "https://evil.test".into() } else { text("host") },
            fields: to.fields,
            account_origin: None,
            token,
        })
    }
}

impl actions::Guest for Guest {
    fn start(invocation: Invocation) -> Result<Step, Error> {
        match invocation.action.as_str() {
            "echo" => done(invocation.input),
            "get" | "write" => get(&input(&invocation)),
            "dump" => dump(&input(&invocation)),
            "send" => send(&input(&invocation)),
            "follow" => follow(&invocation),
            "job" => submit(&invocation),
            "read" => reading::read(&input(&invocation)),
            "pass" => reading::pass(&input(&invocation)),
            "wait" | "emit" => waiting(&invocation, 1),
            "pieces" => pieces(&input(&invocation), 0),
            "log" => {
                eprintln!("{}", input(&invocation)["line"].as_str().unwrap_or_default());
                done("{}".into())
            }
            "loop" => loop {
                std::hint::spin_loop();
            },
            "bomb" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
            }
            "panic" => panic!("asked to"),
            "recurse" => done(deep(1).to_string()),
            "flood" => done("x".repeat(2 << 20)),
            "handles" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(waki::bindings::wasi::http::types::Fields::new());
                }
            }
            other => hostile::start(other, &input(&invocation)).unwrap_or_else(|| {
                Err(failed(ErrorKind::InvalidInput, format!("no action {other}")))
            }),
        }
    }

    fn resume(invocation: Invocation, state: String) -> Result<Step, Error> {
        if invocation.action == "follow" {
            return get(&input(&invocation)["then"]);
        }
        if invocation.action == "job" {
            return look(&invocation, &state);
        }
        let step: u64 = state.parse().expect("the state is a number");
        if invocation.action == "pieces" {
            return pieces(&input(&invocation), step);
        }
        if step < input(&invocation)["steps"].as_u64().unwrap_or(3) {
            return waiting(&invocation, step + 1);
        }
        done(if invocation.action == "emit" { "]".into() } else { state })
    }

    fn recover(invocation: Invocation, state: Option<String>) -> Result<Step, Error> {
        if invocation.action == "job" {
            let url = input(&invocation)["url"].as_str().unwrap_or_default().to_owned();
            let lost = state.as_deref().unwrap_or("nothing");
            let found =
                get(&json!({"url": format!("{url}/api/safe/find/{lost}/{}", invocation.id)}))?;
            if status(&found) == 200 {
                return running(&invocation, 1, false);
            }
        }
        let why = format!("nobody knows what became of {}", invocation.id);
        Err(failed(ErrorKind::OutcomeUnknown, why))
    }

    fn cancel(invocation: Invocation, _: String) -> Result<(), Error> {
        if invocation.action == "job" {
            let url = input(&invocation)["url"].as_str().unwrap_or_default().to_owned();
            get(&json!({"method": "POST", "url": format!("{url}/api/convergent/stop")}))?;
        }
        match input(&invocation)["cancelFails"].as_bool() {
            Some(true) => Err(failed(ErrorKind::Forbidden, "it cannot be stopped".into())),
            _ => Ok(()),
        }
    }
}

impl choices::Guest for Guest {
    fn find(
        _: String,
        _: Connection,
        _: String,
        search: Option<String>,
        _: Option<String>,
    ) -> Result<choices::Page, Error> {
        let choice = |word: &str| choices::Choice {
            value: json!(word).to_string(),
            label: word.into(),
            detail: None,
        };
        let found = ["one", "two"]
            .into_iter()
            .filter(|word| search.as_deref().is_none_or(|s| word.contains(s)));
        Ok(choices::Page { choices: found.map(choice).collect(), next: None })
    }
}

impl triggers::Guest for Guest {
    fn poll(
        _: String,
        _: Connection,
        _: String,
        _: Option<String>,
    ) -> Result<triggers::Batch, Error> {
        Err(failed(ErrorKind::InvalidInput, "no triggers".into()))
    }
}

fn input(invocation: &Invocation) -> Json {
    serde_json::from_str(&invocation.input).expect("the input is JSON")
}

/// Makes the request that the input describes, `times` times; the result tells what came back of the last one.
fn get(input: &Json) -> Result<Step, Error> {
    let method = input["method"].as_str().unwrap_or("GET");
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let mut last = None;
    for _ in 0..input["times"].as_u64().unwrap_or(1) {
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            other => Method::Other(other.to_owned()),
        };
        let mut request = waki::Client::new().request(method, &text("url"));
        for (name, value) in input["headers"].as_object().into_iter().flatten() {
            let name = HeaderName::try_from(name.as_str()).expect("a header name");
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        if input["body"].is_string() {
            request = request.body(text("body").into_bytes());
        }
        last = Some(request.send().map_err(|error| unsent(&error))?);
    }
    let answer = last.expect("a request");
    let status = answer.status_code();
    let headers: serde_json::Map<String, Json> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or_default())))
        .collect();
    let mut body = Vec::new();
    while let Some(part) = answer.chunk(1 << 20).map_err(|_| broken())? {
        body.extend(part);
    }
    if input["panic"] == true {
        panic!("{} {headers:?} {}", status, String::from_utf8_lossy(&body));
    }
    if input["mirror"] == true {
        return done(String::from_utf8(body).expect("text"));
    }
    let body = String::from_utf8_lossy(&body);
    done(json!({"status": status, "headers": headers, "body": body}).to_string())
}

/// Requests the URLs of its input, and in the next step what it is to do `then`.
fn follow(invocation: &Invocation) -> Result<Step, Error> {
    let input = input(invocation);
    if input["urls"].is_null() {
        get(&input)?;
    }
    for url in input["urls"].as_array().into_iter().flatten() {
        get(&json!({ "url": url }))?;
    }
    waiting(invocation, 1)
}

/// Submits a job: one request that must not be repeated.
fn submit(invocation: &Invocation) -> Result<Step, Error> {
    let input = input(invocation);
    eprintln!("submitting {}", invocation.id);
    let url = format!("{}/api/reconcile/jobs", input["url"].as_str().unwrap_or_default());
    get(&json!({"method": "POST", "url": url, "body": invocation.id}))?;
    running(invocation, 1, false)
}

/// Looks how far a job is, `steps` times. It hands out a part of its result in each look after the one that is set, and
/// submits something else after another one.
fn look(invocation: &Invocation, state: &str) -> Result<Step, Error> {
    let input = input(invocation);
    let url = input["url"].as_str().unwrap_or_default().to_owned();
    get(&json!({"url": format!("{url}/api/safe/jobs/{state}")}))?;
    let step: u64 = state.parse().expect("a number");
    if input["again"] == step {
        get(&json!({"method": "POST", "url": format!("{url}/api/never/more")}))?;
    }
    if step >= input["steps"].as_u64().unwrap_or(3) {
        let filler = "x".repeat(input["large"].as_u64().unwrap_or(0) as usize);
        return done(if input["emitAfter"].is_u64() {
            "0]".into()
        } else {
            json!({"steps": step, "filler": filler}).to_string()
        });
    }
    running(invocation, step + 1, input["emitAfter"].as_u64().is_some_and(|after| step >= after))
}

fn running(invocation: &Invocation, step: u64, emits: bool) -> Result<Step, Error> {
    let input = input(invocation);
    let first = input["emitAfter"].as_u64().is_some_and(|after| step == after + 1);
    let part = if first { format!("[{step},") } else { format!("{step},") };
    Ok(Step::Waiting(Waiting {
        state: step.to_string(),
        handle: json!({"job": invocation.id}).to_string(),
        poll_after_ms: input["pollMs"].as_u64().unwrap_or(1).try_into().unwrap_or(1),
        progress: Some(Progress { message: format!("job step {step}"), fraction: None }),
        emitted: emits.then(|| part.into_bytes()),
    }))
}

fn status(step: &Step) -> u64 {
    let Step::Done(Output { value: Value::Json(text), .. }) = step else { return 0 };
    serde_json::from_str::<Json>(text).expect("JSON")["status"].as_u64().unwrap_or(0)
}

/// Makes a request of parts that nobody has looked at: waki and the `http` crate would refuse many.
fn send(input: &Json) -> Result<Step, Error> {
    use waki::bindings::wasi::http::outgoing_handler::handle;
    use waki::bindings::wasi::http::types::{Fields, Method, OutgoingRequest, Scheme};

    let text = |key: &str| input[key].as_str().unwrap_or_default();
    let unsayable = |what: &str| failed(ErrorKind::InvalidInput, format!("cannot say the {what}"));
    let fields = Fields::new();
    for pair in input["headers"].as_array().into_iter().flatten() {
        let (name, value) = (pair[0].as_str().expect("a name"), pair[1].as_str().expect("a value"));
        fields
            .append(&name.to_owned(), &value.as_bytes().to_vec())
            .map_err(|error| failed(ErrorKind::InvalidInput, format!("header: {error:?}")))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match text("method") {
        "" | "GET" => Method::Get,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match text("scheme") {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| unsayable("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| unsayable("scheme"))?;
    request.set_authority(Some(text("authority"))).map_err(|()| unsayable("authority"))?;
    request.set_path_with_query(Some(text("path"))).map_err(|()| unsayable("path"))?;
    let answer = handle(request, None).map_err(|code| unsent(&code.into()))?;
    answer.subscribe().block();
    let answer =
        answer.get().expect("ready").expect("taken once").map_err(|code| unsent(&code.into()))?;
    done(json!({ "status": answer.status() }).to_string())
}

/// Makes the requests that the input lists, logs what they bring, and answers with all that this instance's memory holds
/// by then. Every bit is turned, so that nothing on the way out recognizes what it should have kept from getting in.
fn dump(input: &Json) -> Result<Step, Error> {
    // Taken before all else, so that it does not lie where what is looked for was.
    let mut dumped: Vec<u8> = Vec::with_capacity(16 << 20);
    let own = dumped.as_ptr().addr()..dumped.as_ptr().addr() + dumped.capacity();
    for request in input["requests"].as_array().into_iter().flatten() {
        match get(request) {
            Ok(Step::Done(output)) => eprintln!("{:?}", output.value),
            Ok(Step::Waiting(_)) => {}
            Err(error) => eprintln!("{error:?}"),
        }
    }
    let end = core::arch::wasm32::memory_size(0) << 16;
    for address in (1024..end).filter(|address| !own.contains(address)) {
        let address = std::ptr::with_exposed_provenance::<u8>(address);
        #[expect(unsafe_code, reason = "every address below the size of the memory can be read")]
        let byte = unsafe { address.read_volatile() };
        dumped.push(!byte);
    }
    Ok(Step::Done(Output {
        value: Value::Binary(dumped),
        content_type: "application/octet-stream".into(),
        truncated: false,
        summary: None,
        rest: None,
    }))
}

fn unsent(error: &anyhow::Error) -> Error {
    let code = error.downcast_ref::<ErrorCode>().map(|code| format!("{code:?}"));
    let mut failed = failed(ErrorKind::Unavailable, "no answer".into());
    failed.error_code = code;
    failed
}

fn broken() -> Error {
    failed(ErrorKind::Protocol, "the answer broke off".into())
}

fn waiting(invocation: &Invocation, step: u64) -> Result<Step, Error> {
    let part = if step == 1 { "[1".to_owned() } else { format!(",{step}") };
    Ok(Step::Waiting(Waiting {
        state: step.to_string(),
        handle: json!({"run": invocation.id, "step": step}).to_string(),
        poll_after_ms: input(invocation)["pollMs"].as_u64().unwrap_or(10).try_into().unwrap_or(10),
        progress: Some(Progress { message: format!("step {step}"), fraction: None }),
        emitted: (invocation.action == "emit").then(|| part.into_bytes()),
    }))
}

/// Brings a result in the pieces that the input lists, as `parts` of text or as `bytes`, one a step.
fn pieces(input: &Json, step: u64) -> Result<Step, Error> {
    let list = input["parts"].as_array().or(input["bytes"].as_array()).expect("parts or bytes");
    if let Some(piece) = list.get(usize::try_from(step).expect("a small number")) {
        let piece = match piece {
            Json::String(text) => text.clone().into_bytes(),
            bytes => serde_json::from_value(bytes.clone()).expect("bytes"),
        };
        return Ok(Step::Waiting(Waiting {
            state: (step + 1).to_string(),
            handle: "{}".into(),
            poll_after_ms: 0,
            progress: None,
            emitted: Some(piece),
        }));
    }
    Ok(Step::Done(Output {
        value: match input["text"].as_bool() {
            Some(true) => Value::Text(String::new()),
            _ => Value::Json(String::new()),
        },
        content_type: "text/plain".into(),
        truncated: false,
        summary: input["summary"].is_object().then(|| input["summary"].to_string()),
        rest: None,
    }))
}

fn done(json: String) -> Result<Step, Error> {
    Ok(Step::Done(Output {
        value: Value::Json(json),
        content_type: "application/json".into(),
        truncated: false,
        summary: None,
        rest: None,
    }))
}

fn failed(kind: ErrorKind, message: String) -> Error {
    Error {
        kind,
        message,
        delivery: Delivery::NotSent,
        retryable: false,
        retry_after_ms: None,
        http_status: None,
        error_code: None,
        request_id: None,
        handle: None,
        details: None,
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
#[inline(never)]
fn deep(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deep(depth + 1) + std::hint::black_box(frame)[0]
}
