//! How long `harness run` takes to its first byte on the wire, with a warm cache of native code.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::figures::{median, ms, report};
use crate::rig::{Rig, quietly};

const ROUNDS: usize = 40;

pub(crate) fn run() -> Result<()> {
    let rig = Rig::start()?;
    let (origin, first_bytes) = listen()?;
    let command = rig.harness_run(&origin, &["getCluster", "--set", "clusterId=any"])?;
    let nothing = [std::env::current_exe()?.display().to_string(), "--nothing".to_owned()];
    quietly(&command)?;
    first_bytes.recv()?;

    let mut ours = Vec::with_capacity(ROUNDS);
    let mut empty = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        ours.push(to_first_byte(&command, &first_bytes)?);
        let started = Instant::now();
        quietly(&nothing)?;
        empty.push(started.elapsed());
    }
    let (ours, empty) = (median(ours), median(empty));
    let figures = format!("{} - {} = {}", ms(ours), ms(empty), ms(ours.saturating_sub(empty)));
    report("cold-start: first byte, over doing nothing", &figures, "at most 30 ms");
    Ok(())
}

fn to_first_byte(command: &[String], first_bytes: &Receiver<Instant>) -> Result<Duration> {
    let (program, arguments) = command.split_first().context("no command")?;
    let started = Instant::now();
    let mut child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn()?;
    let seen = first_bytes.recv_timeout(Duration::from_secs(10)).context("no byte was sent")?;
    ensure!(child.wait()?.success(), "the harness failed");
    Ok(seen.duration_since(started))
}

/// A server that notes when the first byte of each connection arrives, and answers every request with a cluster.
fn listen() -> Result<(String, Receiver<Instant>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            if stream.read(&mut head).is_err() || sender.send(Instant::now()).is_err() {
                return;
            }
            let body = r#"{"cluster_id":"any","state":"RUNNING"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // A client that went away is the client's affair.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok((origin, receiver))
}
