//! Peak memory of `harness run` on answers that are larger than what is taken, over that of a small answer.

use std::io::Write;

use anyhow::Result;
use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::child::{mib, peak_and_code, peak_of};
use crate::figures::report;
use crate::rig::{Rig, quietly};

const GET: [&str; 5] = ["rawRequest", "--set", "method=GET", "--set", "url=/2.0/x"];

pub(crate) fn run() -> Result<()> {
    let rig = Rig::start()?;
    let small = FaultServer::start()?;
    let command = rig.harness_run(small.origin(), &GET)?;
    quietly(&command)?;
    let small = peak_of(&command)?;
    let bomb = gzip(300 << 20)?;
    let what = format!("bombs: gzip, {} KB for 300 MiB", bomb.len() / 1000);
    let packed = FaultServer::start()?;
    let headers = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    packed.answer("*", Answer::new(200, headers, bomb));
    measure(&rig, &what, &packed, small)?;
    let mebibyte = vec![b'1'; 1 << 20];
    let declared = flood("content-length: 10737418240", mebibyte.clone())?;
    measure(&rig, "bombs: 10 GiB declared", &declared, small)?;
    let open = flood("connection: close", mebibyte.clone())?;
    measure(&rig, "bombs: endless", &open, small)?;
    let chunk = [b"100000\r\n".as_slice(), &mebibyte, b"\r\n"].concat();
    measure(&rig, "bombs: endless, in chunks", &flood("transfer-encoding: chunked", chunk)?, small)
}

/// A server that sends the same bytes for ever.
fn flood(header: &str, bytes: Vec<u8>) -> Result<FaultServer> {
    let server = FaultServer::start()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{header}\r\n\r\n");
    let acts = vec![Act::Bytes(head.into_bytes()), Act::Endless(bytes)];
    server.rule(Rule::always(Stage::AfterEffect, acts));
    Ok(server)
}

fn gzip(size: usize) -> Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..size / zeros.len() {
        packed.write_all(&zeros)?;
    }
    Ok(packed.finish()?)
}

fn measure(rig: &Rig, what: &str, server: &FaultServer, small: u64) -> Result<()> {
    let (peak, code) = peak_and_code(&rig.harness_run(server.origin(), &GET)?)?;
    let over = mib(peak) - mib(small);
    let figures = format!("{over:.1} MiB over a small answer, exit code {code}");
    report(what, &figures, "at most 64 MiB");
    Ok(())
}
