//! Workspaces that do nothing but answer for statements, in a process of their own, so that ten thousand statements cost the
//! measured process nothing. A statement says how long it runs (`seconds:60;`), and its id says until when.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};

/// The process with the workspaces, from the outside.
pub(crate) struct Statements {
    child: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
    pub(crate) origins: Vec<String>,
}

/// What the workspaces saw since they were asked last.
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// Most requests of one workspace within a second; the longest time between two looks at one statement.
    pub(crate) in_a_second: u64,
    pub(crate) longest_gap: Duration,
}

impl Statements {
    pub(crate) fn start(workspaces: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--statements", &workspaces.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asked = child.stdin.take().context("no input")?;
        let mut told = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        told.read_line(&mut line)?;
        let origins: Vec<String> = serde_json::from_str(&line)?;
        ensure!(origins.len() == workspaces, "{} workspaces started", origins.len());
        Ok(Self { child, asked, told, origins })
    }

    pub(crate) fn seen(&mut self) -> Result<Seen> {
        self.asked.write_all(b"\n")?;
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        let [requests, in_a_second, gap]: [u64; 3] = serde_json::from_str(&line)?;
        Ok(Seen { requests, in_a_second, longest_gap: Duration::from_millis(gap) })
    }
}

impl Drop for Statements {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one workspace saw.
#[derive(Default)]
struct Workspace {
    requests: Vec<Instant>,
    looks: HashMap<String, Instant>,
    longest_gap: Duration,
}

type Shared = Arc<Mutex<Workspace>>;

/// The process: prints where its workspaces are, then answers each line with what they saw, until there is no more to read.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) fn serve(workspaces: usize) -> Result<()> {
    let mut origins = Vec::new();
    let mut all = Vec::new();
    for _ in 0..workspaces {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        origins.push(format!("http://{}", listener.local_addr()?));
        let workspace = Shared::default();
        all.push(Arc::clone(&workspace));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let workspace = Arc::clone(&workspace);
                std::thread::spawn(move || answer_all(stream, &workspace));
            }
        });
    }
    println!("{}", json!(origins));
    for line in std::io::stdin().lines() {
        line?;
        let (mut requests, mut in_a_second, mut gap) = (0, 0, Duration::ZERO);
        for workspace in &all {
            let mut workspace = workspace.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = std::mem::take(&mut workspace.requests);
            requests += seen.len();
            in_a_second = in_a_second.max(most_in_a_second(&seen));
            gap = gap.max(std::mem::take(&mut workspace.longest_gap));
        }
        println!("{}", json!([requests, in_a_second, u64::try_from(gap.as_millis())?]));
    }
    Ok(())
}

fn most_in_a_second(requests: &[Instant]) -> usize {
    let within = |first: &Instant| {
        requests.partition_point(|other| *other < *first + Duration::from_secs(1))
    };
    requests.iter().enumerate().map(|(n, first)| within(first) - n).max().unwrap_or_default()
}

fn answer_all(mut stream: TcpStream, workspace: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let line = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let header = head.get(line..).and_then(|line| line.split_once(": "));
            if let Some((name, value)) = header
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = answer(&head, &String::from_utf8_lossy(&body), workspace).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes())?;
    }
}

fn answer(head: &str, body: &str, workspace: &Shared) -> Json {
    let now = Instant::now();
    let mut workspace = workspace.lock().unwrap_or_else(PoisonError::into_inner);
    workspace.requests.push(now);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    if head.starts_with("POST") {
        let seconds = body.split("seconds:").nth(1).and_then(|rest| rest.split(';').next());
        let seconds: u128 = seconds.and_then(|text| text.parse().ok()).unwrap_or_default();
        let id = format!("{}-{}", since + 1_000 * seconds, workspace.requests.len());
        workspace.looks.insert(id.clone(), now);
        return json!({ "statement_id": id, "status": { "state": "PENDING" } });
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let id = path.rsplit('/').next().unwrap_or_default().to_owned();
    let ends: u128 = id.split('-').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    if let Some(last) = workspace.looks.insert(id.clone(), now) {
        workspace.longest_gap = workspace.longest_gap.max(now - last);
    }
    if since < ends {
        return json!({ "statement_id": id, "status": { "state": "RUNNING" } });
    }
    workspace.looks.remove(&id);
    json!({
        "statement_id": id,
        "status": { "state": "SUCCEEDED" },
        "manifest": {
            "schema": { "columns": [{ "name": "one", "type_name": "INT" }] },
            "total_chunk_count": 1, "total_row_count": 1,
        },
        "result": { "data_array": [["1"]] },
    })
}
